"""Rows 1, 2, 3 and 9: the weight itself, against peers, against the joining product alone, and deep."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import adqc
from adqc.arrays import THIN, NumpyArray, as_array, multiply_tensors
from adqc.circuit import tensor_from_pennylane
from adqc.engine.arrange import to_tensor
from adqc.engine.placed import MOST_BONDS, find_places, multiply_placed, pull_placed
from adqc.engine.split import halves
from adqc.engine.statevector import run_gates
from benchmarks.lines import LAYOUTS, Line
from benchmarks.peers import PEERS, load_peer
from benchmarks.timing import Setup, Work, both_ways, medians, peak_bytes

# Largest relative error (Euclidean norm) of a peer's amplitudes that still counts as the same.
SAME = 1e-5


def make_wall(setup: Setup, depth: int, layout: str = "interleaved") -> adqc.BrickWall:
    """A square weight, 1024 a side: 20 qubits."""
    side = setup.size(1024)
    config = adqc.Circuit(depth=setup.depth(depth), gate="cartan", layout=layout)
    return adqc.BrickWall((side, side), config, generator=torch.Generator().manual_seed(0), device=setup.device)


def weight_step(wall: adqc.BrickWall, route: str | None = None) -> Work:
    """The weight forward, and the gradients of all the circuit's parameters."""
    return both_ways(lambda: wall(route), list(wall.parameters()), torch.randn(wall.shape, device=wall.scale.device))


def name_of(wall: adqc.BrickWall) -> str:
    """What a weight is called in the table."""
    return f"weight of {wall.sites} qubits, depth {wall.config.depth}"


def peers(setup: Setup) -> Iterator[Line]:
    """Rows 1 and 2: against PennyLane, and against whatever else prepares such a state."""
    for row, depth, target in ((1, 4, 5.0), (2, 8, 4.0)):
        wall = make_wall(setup, depth)
        ours = weight_step(wall)
        work = f"{name_of(wall)}, forward + backward"
        pennylane = both_ways(
            lambda wall=wall: tensor_from_pennylane(wall),
            list(wall.parameters()),
            torch.randn(wall.shape, device=setup.device),
        )
        yield _against(row, work, "PennyLane default.qubit, backprop", ours, pennylane, setup, 100.0)
        yield _against(row, work, "quimb, generic contraction", ours, weight_step(wall, "network"), setup, target)
        for name in PEERS:
            try:
                step = peer_step(name, wall)
            # Whatever a peer raises belongs in the table: a package missing or of a wrong version, a wrong result.
            except Exception as error:
                yield _missing(row, work, name, target, error, ours, setup)
                continue
            yield _against(row, work, name, ours, step, setup, target)


def peer_step(name: str, wall: adqc.BrickWall) -> Work:
    """A peer's amplitudes forward, and their gradients for all gates, once they have been checked.

    Raises:
        ArithmeticError: If the amplitudes or their gradients are not those of the gate-by-gate oracle.
    """
    prepare = load_peer(name)
    gates = wall.matrices().detach().requires_grad_()
    run = prepare(wall)
    state: Tensor = run(gates)
    direction = torch.randn_like(state)
    (found,) = torch.autograd.grad(state, gates, direction)
    twin = gates.detach().requires_grad_()
    (due,) = torch.autograd.grad(run_gates(twin, wall.wiring), twin, _real(direction))
    with torch.no_grad():
        tensor = to_tensor(_real(state), wall.layout) * wall.scale
        pairs = {"amplitudes": (tensor, wall("gates")), "gradients": (found, due)}
    for what, (got, expected) in pairs.items():
        error = ((got - expected).norm() / expected.norm()).item()
        if not error <= SAME:
            raise ArithmeticError(f"its {what} differ from adqc's gate-by-gate route by {error:.1e}")
    return both_ways(lambda: run(gates), [gates], direction)


def _real(tensor: Tensor) -> Tensor:
    return tensor.real if tensor.is_complex() else tensor


def _against(row: int, work: str, name: str, ours: Work, theirs: Work, setup: Setup, target: float) -> Line:
    try:
        found = medians({"ours": ours, "theirs": theirs}, setup)
    except Exception as error:
        return _missing(row, work, name, target, error, ours, setup)
    return Line(row, work, name, found["ours"], found["theirs"], at_least=target)


def _missing(row: int, work: str, name: str, target: float, error: Exception, ours: Work, setup: Setup) -> Line:
    said = " ".join(str(error).split())[:120]
    seconds = medians({"ours": ours}, setup)["ours"]
    return Line(row, work, name, seconds, None, at_least=target, note=f"did not run: {type(error).__name__}: {said}")


def floor(setup: Setup) -> Iterator[Line]:
    """Row 3: against the product that joins the two halves, and its two backward products, alone."""
    for depth in (4, 8):
        for layout in LAYOUTS:
            wall = make_wall(setup, depth, layout)
            left, right = joining_factors(wall)
            direction = torch.randn(left.shape[0], right.shape[1], device=setup.device)

            def build(wall: adqc.BrickWall = wall) -> None:
                with torch.no_grad():
                    wall()

            works = {"f": build, "b": weight_step(wall)}
            products = {"alone": _products(torch.mm, left, right, direction)}
            # torch's own call is not the least that these can cost.
            if left.shape[1] <= THIN and setup.device.type == "cpu":
                products["in blocks of rows, alone"] = _products(multiply_tensors, left, right, direction)
            if left.shape[1] <= MOST_BONDS and setup.device.type == "cpu":
                products["in compiled loops, alone"] = _loops(*map(as_array, (left, right, direction)))
            for how, own in products.items():
                works |= {f"{how} {key}": work for key, work in own.items()}
            found = medians(works, setup)
            for how in products:
                work = f"{name_of(wall)}, {layout}"
                against = f"({left.shape[0]}, {left.shape[1]}) × ({right.shape[0]}, {right.shape[1]}) {how}"
                yield Line(3, f"{work}, forward", against, found["f"], found[f"{how} f"], at_most=1.5)
                against += " with its two backward products"
                yield Line(3, f"{work}, forward + backward", against, found["b"], found[f"{how} b"], at_most=2.0)


def _products(
    multiply: Callable[[Tensor, Tensor], Tensor], left: Tensor, right: Tensor, direction: Tensor
) -> dict[str, Callable[[], None]]:
    """The joining product, and this with its two backward products."""

    def forward() -> None:
        multiply(left, right)

    def backward() -> None:
        multiply(left, right)
        if multiply is torch.mm:
            multiply(direction, right.T)
        else:
            # The short side ahead, as this form has it.
            multiply(right, direction.T)
        multiply(left.T, direction)

    return {"f": forward, "b": backward}


def _loops(left: NumpyArray, right: NumpyArray, direction: NumpyArray) -> dict[str, Callable[[], None]]:
    """The same as adqc itself makes them, rows behind one another."""
    shape = direction.shape
    places = find_places(*shape, None, shape, shape, left.itemsize)
    assert places is not None, "sides are powers of two"

    def forward() -> None:
        multiply_placed(left, right, places)

    def backward() -> None:
        multiply_placed(left, right, places)
        pull_placed(direction, left, right, places)

    return {"f": forward, "b": backward}


def joining_factors(wall: adqc.BrickWall) -> tuple[Tensor, Tensor]:
    """Random factors of the shapes that two halves with all gates have: (m, bond) and (bond, n)."""
    # Not the plan's own: gates put behind the product make it smaller, and shall be seen to.
    split = halves(wall.wiring)[0]
    m, n = (2 ** len(sites) for sites in split.sites)
    bond, device = 2 ** split.bonds[0], wall.scale.device
    return torch.randn(m, bond, device=device), torch.randn(bond, n, device=device)


def deep(setup: Setup) -> Iterator[Line]:
    """Row 9: memory and time of a deep circuit."""
    wall = make_wall(setup, 64)
    work = f"{name_of(wall)}, forward + backward"
    ours = weight_step(wall)
    state = 2**wall.sites * wall.scale.element_size()
    yield Line(9, work, "one state", peak_bytes(ours, setup.device), state, at_most=6.0, unit="bytes", note="peak")
    found = medians({"ours": ours, "theirs": weight_step(wall, "gates")}, setup)
    yield Line(9, work, "autograd, gate by gate", found["ours"], found["theirs"], at_most=1.0)
