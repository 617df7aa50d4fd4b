"""The matrices of fused blocks: all blocks that look alike in one batched pass."""

from __future__ import annotations

import torch
from torch import Tensor

from adqc.constants import constant
from adqc.engine.arrange import permute_axes
from adqc.engine.program import FRESH, LIVE, OPEN, Group, Program

# A block while it is built: first site, number of sites, (count, rows, columns).
Part = tuple[int, int, Tensor]


def build_blocks(gates: Tensor, program: Program, start: Tensor | None = None) -> list[Tensor]:
    """The matrices of all groups.

    Args:
        gates: (G, 2^k, 2^k), in the order in which they act.
        program: What :func:`adqc.engine.program.make_program` returned.
        start: (Q, 2), the product state to begin with; None for |0…0>.

    Returns:
        For each group its blocks, (count, rows, columns).
    """
    order = program.order
    if order != tuple(range(len(order))):
        gates = gates.index_select(0, constant(order, gates, dtype=torch.long))
    stacks = gates.split([group.count * len(group.gates) for group in program.groups])
    return [_build(stack, group, start) for stack, group in zip(stacks, program.groups, strict=True)]


def _build(stack: Tensor, group: Group, start: Tensor | None) -> Tensor:
    """One kind of blocks, from its gates (gates of a block · count, 2^k, 2^k)."""
    fresh = [site for site, kind in enumerate(group.inputs) if kind == FRESH]
    vectors = {site: _vectors(sites, stack, start) for site, sites in zip(fresh, group.fresh, strict=True)}
    if not group.gates:
        return vectors[0]
    parts: list[Part] = []
    for sites, gate in zip(group.gates, stack.unflatten(0, (-1, group.count)).unbind(0), strict=True):
        touched = [part for part in parts if part[0] + part[1] > sites[0] and part[0] <= sites[-1]]
        if not touched:
            parts.append((sites[0], len(sites), _fix_inputs(gate, sites, vectors, start)))
            continue
        covered = {site for first, wide, _ in touched for site in range(first, first + wide)}
        lone = [(site, 1, _lone(site, vectors, stack, group.count)) for site in sites if site not in covered]
        first, wide, matrix = _merge(touched + lone)
        parts = [part for part in parts if part not in touched]
        parts.append((first, wide, _apply(gate, matrix, 2 ** (sites[0] - first))))
    return _open(_merge(parts)[2], group)


def _vectors(sites: tuple[int, ...], like: Tensor, start: Tensor | None) -> Tensor:
    """The start vectors of these sites, (count, 2, 1)."""
    if start is None:
        return constant(((1.0,), (0.0,)), like).expand(len(sites), 2, 1)
    return torch.stack([start[site] for site in sites]).unsqueeze(-1)


def _fix_inputs(gate: Tensor, sites: tuple[int, ...], vectors: dict[int, Tensor], start: Tensor | None) -> Tensor:
    """A gate with its fresh inputs fixed, (count, 2^k, columns)."""
    fresh = [axis for axis, site in enumerate(sites) if site in vectors]
    if not fresh:
        return gate
    matrix = gate.unflatten(2, (2,) * len(sites))
    for axis in reversed(fresh):
        if start is None:
            matrix = matrix.select(axis + 2, 0)
        else:
            sizes = [2 if at == axis + 2 else 1 for at in range(1, matrix.dim())]
            matrix = (matrix * vectors[sites[axis]].reshape(-1, *sizes)).sum(axis + 2)
    fixed: Tensor = matrix.reshape(*gate.shape[:2], -1)
    return fixed


def _lone(site: int, vectors: dict[int, Tensor], like: Tensor, count: int) -> Tensor:
    if site in vectors:
        return vectors[site]
    return torch.eye(2, dtype=like.dtype, device=like.device).expand(count, 2, 2)


def _merge(parts: list[Part]) -> Part:
    """The Kronecker product of neighbouring parts."""
    (first, wide, matrix), *others = sorted(parts, key=lambda part: part[0])
    for _, more, other in others:
        wide += more
        product = matrix[:, :, None, :, None] * other[:, None, :, None, :]
        matrix = product.reshape(-1, matrix.shape[1] * other.shape[1], matrix.shape[2] * other.shape[2])
    return first, wide, matrix


def _apply(gate: Tensor, matrix: Tensor, before: int) -> Tensor:
    """A gate times a part that has all its sites; ``before`` counts the rows of the sites ahead of it."""
    count, size = gate.shape[:2]
    if before == 1:
        return torch.bmm(gate, matrix.reshape(count, size, -1)).reshape(matrix.shape)
    return torch.matmul(gate.unsqueeze(1), matrix.reshape(count, before, size, -1)).reshape(matrix.shape)


def _open(matrix: Tensor, group: Group) -> Tensor:
    """Make rows of the columns of open inputs, and bring rows and columns into the group's order."""
    sites = len(group.inputs)
    if group.rows == tuple(range(sites)) and not group.mirrored:
        return matrix
    columns = [kind for kind in group.inputs if kind != FRESH]
    lives = [at for at, kind in enumerate(columns) if kind == LIVE]
    opens = [at for at, kind in enumerate(columns) if kind == OPEN]
    axes = [row if row < sites else sites + opens[row - sites] for row in group.rows]
    axes += [sites + at for at in (reversed(lives) if group.mirrored else lives)]
    return permute_axes(matrix.flatten(1), (2,) * len(axes), axes).reshape(-1, *group.shape)
