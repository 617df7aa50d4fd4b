"""The fewest numbers that tell a staircase of wide gates: trained in redundant coordinates, stored in minimal ones.

A gate that meets |0> on its last wires is an isometry, an orthonormal basis of a space of ``c`` of ``2^k`` dimensions.
Turning that basis, and the output of the gate before it back, leaves the state as it is: what counts is the space, a
point of a Grassmann manifold of dimension ``c (2^k - c)``. One basis of each space has a symmetric positive block on
its first ``c`` rows; its other rows, numbers between -1 and 1, tell it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.geometry import Wiring


def has_minimal_form(config: Circuit) -> bool:
    """Whether the numbers of a circuit are known without their redundancy: one staircase of wide gates."""
    return config.family.columns and config.wiring == "staircase" and config.depth == 1


def minimal_size(wiring: Wiring) -> int:
    """Number of real numbers that a staircase of wide gates takes, its scale included."""
    return 1 + sum(columns * (rows - columns) for rows, columns in _sizes(wiring))


def _sizes(wiring: Wiring) -> Iterator[tuple[int, int]]:
    """Rows and columns of each gate as an isometry."""
    for fresh in wiring.fresh:
        yield 2 ** len(fresh), 2 ** sum(not new for new in fresh)


def isometries(wall: BrickWall) -> list[Tensor]:
    """The gates on what they meet, (2^k, c) each, in float64 on the CPU."""
    gates = wall.family.matrices(wall.gate_parameters().detach().to("cpu", torch.float64))
    return [
        gate[:, :: rows // columns] for gate, (rows, columns) in zip(gates.unbind(0), _sizes(wall.wiring), strict=True)
    ]


@torch.no_grad()
def set_isometries_(wall: BrickWall, found: list[Tensor]) -> BrickWall:
    """Write gates that are known on what they meet, (2^k, c) each with orthonormal columns."""
    size = 2**wall.family.sites
    params = torch.zeros(len(found), size, size, dtype=torch.float64)
    for gate, isometry in zip(params, found, strict=True):
        gate[:, :: len(isometry) // isometry.shape[1]] = isometry.to(gate)
    return wall.set_gate_parameters_(params.flatten(1).to(wall.gates))


@torch.no_grad()
def to_minimal(wall: BrickWall) -> Tensor:
    """The numbers that tell a staircase of wide gates.

    Args:
        wall: One sweep of ``o8`` … ``o64`` gates.

    Returns:
        (N,), float64, on the CPU: ``c (2^k - c)`` numbers in [-1, 1] a gate, then the scale.

    Raises:
        ValueError: If the wall is another circuit.

    Example:
        >>> import adqc
        >>> config = adqc.Circuit(depth=1, gate="o8", wiring="staircase")
        >>> wall = adqc.BrickWall((8, 8), config, dtype=torch.float64)
        >>> len(to_minimal(wall)), wall.parameter_count
        (56, 105)
        >>> copy = from_minimal_(adqc.BrickWall((8, 8), config, dtype=torch.float64), to_minimal(wall))
        >>> bool((copy() - wall()).abs().max() < 1e-12)
        True

    Source: manifold of matrix product states, arXiv:1210.7710; staircases that prepare them, arXiv:1908.07958.
    """
    _check(wall)
    gates = isometries(wall)
    numbers: list[Tensor] = []
    turn = torch.eye(1, dtype=torch.float64)
    for gate in reversed(gates):
        # What the gate behind turned back is turned here, on the last wires.
        size = len(turn)
        gate = (turn @ gate.reshape(-1, size, gate.shape[1])).reshape(gate.shape)
        columns = gate.shape[1]
        u, _, v = torch.linalg.svd(gate[:columns])
        turn = u @ v
        numbers.append((gate[columns:] @ turn.mT).flatten())
    scale = wall.scale.detach().to("cpu", torch.float64) * turn.reshape(())
    return torch.cat([*reversed(numbers), scale.reshape(1)])


@torch.no_grad()
def from_minimal_(wall: BrickWall, numbers: Tensor) -> BrickWall:
    """Write what :func:`to_minimal` gave into a wall of the same kind.

    Args:
        wall: The wall; its gates and its scale are replaced.
        numbers: (N,), real and finite.

    Returns:
        The wall.

    Raises:
        ValueError: If the wall is another circuit, or the numbers are not as many, not finite, or no gates.
    """
    _check(wall)
    expected = minimal_size(wall.wiring)
    if tuple(numbers.shape) != (expected,) or not numbers.isfinite().all():
        raise ValueError(
            f"this circuit takes {expected:,} finite numbers, got a tensor of shape {tuple(numbers.shape)}"
        )
    sizes = list(_sizes(wall.wiring))
    parts = (
        numbers.detach().to("cpu", torch.float64).split([columns * (rows - columns) for rows, columns in sizes] + [1])
    )
    found = []
    for part, (rows, columns) in zip(parts, sizes, strict=False):
        below = part.reshape(rows - columns, columns)
        values, vectors = torch.linalg.eigh(torch.eye(columns, dtype=torch.float64) - below.mT @ below)
        if values.min() < -1e-6:
            raise ValueError("the numbers are those of no circuit: a gate's columns would be longer than 1")
        above = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.mT
        found.append(torch.cat([above, below]))
    set_isometries_(wall, found)
    wall.scale.copy_(parts[-1].reshape(()))
    return wall


@torch.no_grad()
def decompose(state: Tensor, wiring: Wiring) -> list[Tensor]:
    """The staircase whose state is nearest to a given one cut by cut, by singular-value decompositions from its end.

    Args:
        state: (2^Q,), real, not zero.
        wiring: One sweep of a staircase.

    Returns:
        The gates on what they meet, (2^k, c) each.

    Source: Oseledets, SIAM J. Sci. Comput. 33 (2011) 2295, Alg. 1; arXiv:1908.07958.
    """
    found = []
    rest = state
    for rows, columns in reversed(list(_sizes(wiring))):
        matrix = rest.reshape(-1, rows)
        # Of a tall matrix the triangle has the same right vectors, and costs far less.
        tall = len(matrix) > rows
        _, _, v = torch.linalg.svd(torch.linalg.qr(matrix, mode="r").R if tall else matrix, full_matrices=True)
        isometry = v[:columns].mT
        found.append(isometry)
        rest = matrix @ isometry
    return found[::-1]


def _check(wall: BrickWall) -> None:
    if not has_minimal_form(wall.config):
        raise ValueError(
            f"the minimal form is known for one staircase of 'o8' to 'o64' gates, got {wall.config.wiring!r} of depth "
            f"{wall.config.depth} with gate {wall.family.name!r}"
        )
