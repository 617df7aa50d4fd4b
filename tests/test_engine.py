"""Every route against the gate-by-gate oracle, over all families, wirings, layouts, depths, shapes and types."""

from __future__ import annotations

import copy
import dataclasses
import itertools

import pytest
import torch
from route_suite import AXES, CASES, TWO_QUBIT, WIDE_AXES, WIDE_CASES, Case, make_wall

from adqc import brickwall, engine
from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.engine import arrange, network, statevector
from adqc.engine.materialise import make_plan
from adqc.gates import FAMILIES
from adqc.geometry import layout
from adqc.testing import RouteSuite


class TestGrid(RouteSuite):
    """The whole grids; PennyLane and quimb's own contraction are slow and take the sample below."""

    test_pennylane = None
    test_quimb = None
    test_gates = None

    @pytest.fixture(params=[*CASES, *WIDE_CASES], ids=str)
    def wall(self, request):
        return make_wall(request.param)


SAMPLE = [
    Case("o8", "staircase/2", "interleaved", 2, (5, 7)),
    Case("o8", "brick-wall", "random", 3, (2, 3, 2), flat=True),
    Case("o16", "staircase", "rows-first", 1, (4, 5)),
    *(
        Case(gate, wiring, order, depth, shape)
        for gate, wiring, order, depth, shape in zip(
            AXES["gate"] * 2,
            AXES["wiring"] * 5,
            itertools.cycle(AXES["layout"]),
            (3, 1, 2, 5, 4, 2, 7, 3, 1, 6),
            ((5, 7), (1,), (3,), (2, 3, 2), (4, 5), (13,), (3, 2), (8, 4), (1, 1), (2,)),
            strict=False,
        )
    ),
]


class TestSample(RouteSuite):
    """All tests that a user inherits."""

    @pytest.fixture(params=SAMPLE, ids=str)
    def wall(self, request):
        return make_wall(request.param)


MANY_QUBITS = [
    Case("o8", "staircase/2", "interleaved", 2, (33, 40)),
    Case("o8", "brick-wall", "rows-first", 4, (60, 50)),
    Case("o16", "staircase/2", "random", 1, (1000,)),
    Case("o32", "staircase/2", "rows-first", 1, (33, 40)),
    *(
        Case(gate, wiring, order, depth, shape)
        for gate, wiring, order, depth, shape in zip(
            AXES["gate"] * 3,
            ("brick-wall", "staircase", "brick-wall") * 5,
            itertools.cycle(("random", "interleaved", "rows-first")),
            (7, 3, 6, 5, 4) * 3,
            ((33, 40), (3, 17, 9), (1000,), (5, 3, 5, 9), (60, 50)) * 3,
            strict=False,
        )
    ),
]


class TestManyQubits(RouteSuite):
    """Enough qubits that deep walls are cut in halves too; the generic network would take minutes there."""

    test_network = None
    test_pennylane = None
    test_quimb = None
    test_gates = None

    @pytest.fixture(params=MANY_QUBITS, ids=str)
    def wall(self, request):
        return make_wall(request.param)


def test_the_walls_on_many_qubits_are_really_cut():
    walls = {case: make_wall(case) for case in MANY_QUBITS}
    plans = {case: make_plan(wall.wiring, wall.layout, "halves") for case, wall in walls.items()}
    cut = [case for case, plan in plans.items() if plan.head is not None and plan.tail is None]
    assert {case.gate for case in cut} >= {*TWO_QUBIT, "o8"}
    assert {case.wiring for case in cut} >= set(AXES["wiring"])
    assert {case.layout for case in cut} >= {*AXES["layout"]} - {"grouped"}
    assert max(case.depth for case in cut) >= 6


@pytest.mark.parametrize("test", ["test_gates", "test_pennylane", "test_state"])
def test_the_suite_sees_a_family_that_is_off_by_little(test):
    off = dataclasses.replace(FAMILIES["so4"], matrices=lambda p: FAMILIES["so4"].matrices(p) * (1 + 1e-9))
    wall = BrickWall((5, 7), Circuit(gate=off))
    with pytest.raises(AssertionError, match="differs by"):
        getattr(RouteSuite(), test)(wall)


@pytest.mark.parametrize("route", ["halves", "network"])
@pytest.mark.parametrize("wrong", [lambda x: x * (1 + 1e-9), lambda x: x.detach() + 0 * x])
def test_the_suite_sees_a_route_that_is_wrong(route, wrong, monkeypatch):
    build = engine.build
    monkeypatch.setattr(
        engine,
        "build",
        lambda *a, route, **k: wrong(build(*a, route=route, **k)) if route != "gates" else build(*a, route=route, **k),
    )
    # Small circuits do not come by.
    monkeypatch.setattr(brickwall, "build_at_once", lambda *_: None)
    case = next(case for case in SAMPLE if case.gate == "su4")
    with pytest.raises(AssertionError, match="differs by"):
        getattr(RouteSuite(), f"test_{route}")(make_wall(case))


@pytest.mark.parametrize(("axes", "cases"), [(AXES, CASES), (WIDE_AXES, WIDE_CASES[:-1])])
def test_the_grids_meet_every_pair_of_values(axes, cases):
    for (a, values), (b, others) in itertools.combinations(axes.items(), 2):
        met = {(getattr(case, a), getattr(case, b)) for case in cases}
        assert met == set(itertools.product(values, others)), (a, b)


@pytest.mark.parametrize("route", ["halves", "fused", "network", "gates"])
@pytest.mark.parametrize("case", [case for case in (*CASES, *WIDE_CASES) if case.dtype != torch.float64], ids=str)
def test_storage_in_fewer_digits(case, route):
    wall = make_wall(case)
    expected = copy.deepcopy(wall).double()("gates")
    found = wall(route)
    assert found.dtype == case.dtype
    # The numbers stored are the same: only the arithmetic (float32) and the last rounding differ.
    tolerance = 1e-2 if case.dtype == torch.bfloat16 else 1e-5
    assert (found.double() - expected).abs().max() <= tolerance * max(1, expected.abs().max().item())
    found.double().square().sum().backward()
    for name, parameter in wall.named_parameters():
        if not parameter.numel():  # one qubit has no gates
            continue
        assert parameter.grad.dtype == case.dtype, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("route", ["halves", "fused", "network", "gates"])
@pytest.mark.parametrize("gate", [*TWO_QUBIT, "o8"])
def test_gradcheck(gate, route):
    walls = (("brick-wall", (3, 2), 3), ("staircase", (2, 2), 2))
    for wiring, shape, depth in walls if gate in TWO_QUBIT else (("staircase/2", (3, 5), 1),):
        wall = make_wall(Case(gate, wiring, "interleaved", depth, shape))
        assert torch.autograd.gradcheck(*_as_function(wall, route))


@pytest.mark.parametrize("route", ["halves", "fused", "network", "gates"])
@pytest.mark.parametrize("gate", [*TWO_QUBIT, "o8"])
def test_gradgradcheck(gate, route):
    wall = make_wall(Case(gate, "brick-wall", "rows-first", 1, (3,) if gate in TWO_QUBIT else (5,)))
    assert torch.autograd.gradgradcheck(*_as_function(wall, route))


def _as_function(wall: BrickWall, route: str):
    names, values = zip(*wall.named_parameters(), strict=True)

    def build(*numbers):
        return torch.func.functional_call(wall, dict(zip(names, numbers, strict=True)), (route,))

    return build, tuple(value.detach().clone().requires_grad_() for value in values)


@pytest.mark.parametrize("gate", ["cartan", "su4", "free", "o8"])
def test_every_route_works_under_vmap(gate):
    walls = [make_wall(Case(gate, "brick-wall", "interleaved", 3, (3, 4)), seed) for seed in range(3)]
    parameters, _ = torch.func.stack_module_state(walls)
    for route in ("halves", "fused", "network", "gates"):
        together = torch.func.vmap(lambda p, r=route: torch.func.functional_call(walls[0], p, (r,)))(parameters)
        torch.testing.assert_close(together, torch.stack([wall(route) for wall in walls]), rtol=0, atol=1e-12)


def test_auto_is_one_of_the_routes():
    for case in CASES[:20]:
        wall = make_wall(case)
        assert engine.describe_route(wall.wiring, wall.layout) in ("halves", "fused", "halves + fused")


@pytest.mark.parametrize("shape", AXES["shape"], ids=str)
@pytest.mark.parametrize("order", ["interleaved", "rows-first", "reversed"])
def test_arrange_puts_each_bit_where_the_layout_says(shape, order):
    sites = layout(shape).sites
    where = layout(shape, tuple(reversed(range(sites))) if order == "reversed" else order)
    state = torch.arange(2.0**sites, dtype=torch.float64)
    tensor = arrange.to_tensor(state, where)
    assert tuple(tensor.shape) == shape
    for index in itertools.product(*map(range, shape)):
        # The bits of all axes, rows-first, most significant first.
        bits = "".join(f"{i:0{b}b}" for i, b in zip(index, where.bits, strict=True) if b) or "0"
        amplitude = int("".join(bits[bit] for bit in where.order), 2)
        assert tensor[index] == amplitude
    back = arrange.to_state(tensor, where)
    kept = torch.zeros_like(state).index_fill(0, tensor.flatten().long(), 1)
    assert torch.equal(back, state * kept)


def test_a_gate_acts_on_its_sites_first_site_most_significant():
    swap = torch.eye(4, dtype=torch.float64)[[0, 2, 1, 3]]
    cnot = torch.eye(4, dtype=torch.float64)[[0, 1, 3, 2]]
    state = torch.zeros(8, dtype=torch.float64)
    state[0b100] = 1
    state = statevector.apply_gate(state, cnot, 0)
    assert state.argmax() == 0b110
    state = statevector.apply_gate(state, swap, 1)
    assert state.argmax() == 0b101


def test_product_state_is_the_kronecker_product():
    vectors = torch.randn(3, 2, dtype=torch.float64)
    expected = torch.kron(torch.kron(vectors[0], vectors[1]), vectors[2])
    torch.testing.assert_close(statevector.product_state(vectors), expected)


def test_network_gives_the_complex_state_in_site_order():
    wall = make_wall(Case("su4", "staircase", "interleaved", 2, (4, 4)))
    gates = wall.matrices()
    torch.testing.assert_close(
        network.contract_network(gates, wall.wiring), statevector.run_gates(gates, wall.wiring), rtol=0, atol=1e-12
    )


def test_the_tensor_follows_the_published_formula():
    # T[i, j] = scale · <bits|U_G … U_1|0…0>, written with dense matrices only.
    wall = BrickWall((3, 4), Circuit(depth=3, gate="so4", layout="rows-first"), dtype=torch.float64)
    product = torch.eye(16, dtype=torch.float64)
    for gate, (first, _) in zip(wall.matrices(), wall.wiring.gates, strict=True):
        left, right = torch.eye(2**first, dtype=torch.float64), torch.eye(2 ** (2 - first), dtype=torch.float64)
        product = torch.kron(torch.kron(left, gate), right) @ product
    expected = wall.scale * product[:, 0].reshape(4, 4)[:3]
    torch.testing.assert_close(wall(), expected, rtol=0, atol=1e-12)
