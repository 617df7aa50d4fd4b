"""Sweeps of stage 1: each gate in turn set to its best value while the others stand still.

For unitary gates the overlap of a target with the state is linear in any one gate: ``<T|W> = tr(E† G)``, E the gate's
environment. The best unitary G is the polar factor of E; a sweep needs no learning rate and cannot lose. For free gates
the same step is a linear least-squares problem of 16 unknowns.

What the weight does not show of the state, the entries beyond a crop and the imaginary part, is free: the target is
filled there with what the state has now. That bounds the distance from above and touches it at the current state, so
what lowers the bound lowers the distance (majorise, then minimise).

Source: Evenbly and Vidal, arXiv:0707.1454, section IV; for circuits, Shirakawa et al., arXiv:2112.14524.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from adqc.engine.network import network_indices
from adqc.engine.statevector import product_state, zero_state
from adqc.geometry import Wiring

# Up to this many trailing amplitudes one product with a wider matrix beats a batch of small ones.
_NARROW = 16
# Weight of a least-squares step's own length.
_CAUTION = 1e-6
# Directions of a wire that hardly carry anything are not stretched by more than the inverse of this.
_FLOOR = 1e-3


@dataclass(frozen=True)
class Goal:
    """A vector of norm 1 to come close to, as far as it is seen.

    Args:
        target: (2^Q,), real, of norm 1, zero where not seen.
        seen: (2^Q,), 1 where the weight shows the state and 0 beyond its crop; None shows all.
    """

    target: Tensor
    seen: Tensor | None = None

    def show(self, state: Tensor) -> Tensor:
        """What the weight shows of a state: its real part within the crop, (2^Q,)."""
        real = state.real if state.is_complex() else state
        return real if self.seen is None else real * self.seen

    def measure(self, state: Tensor) -> tuple[float, float]:
        """The relative squared error at the best scale, and that scale."""
        shown = self.show(state)
        norm = torch.dot(shown, shown).item()
        scale = torch.dot(self.target, shown).item() / norm if norm > 0 else 0.0
        return (self.target - scale * shown).square().sum().item(), scale

    def fill(self, state: Tensor, scale: float) -> Tensor:
        """The target, filled with the scaled state where it is not seen."""
        if self.seen is None and not state.is_complex():
            return self.target
        return self.target + scale * (state - self.show(state))


class Sweeper(Protocol):
    """Gates that are fitted to a goal. Sweeps replace the list of gates, so a shallow copy keeps what was before."""

    gates: list[Tensor]

    def look(self, active: Sequence[int]) -> float:
        """The error of the circuit made of these gates, the others counting as identities."""

    def sweep(self, active: Sequence[int]) -> float:
        """Set each of these gates to its best value and return the new error; ``look`` at them first."""


def act(gate: Tensor, state: Tensor, site: int) -> Tensor:
    """The state after a gate, flat.

    Args:
        gate: (4, 4), ``gate[out, in]``, on ``site`` and the next.
        state: (2^Q,), or (2^Q · batch,) with the batch least significant.
        site: First site of the gate.
    """
    after = state.numel() >> (site + 2)
    if after > _NARROW or after & (after - 1):
        return torch.matmul(gate, state.view(2**site, 4, -1)).view(-1)
    if after > 1:
        rest = torch.eye(after, dtype=gate.dtype, device=gate.device)
        gate = (gate[:, None, :, None] * rest[:, None, :]).reshape(4 * after, 4 * after)
    return (state.view(-1, 4 * after) @ gate.T).view(-1)


def environment(aim: Tensor, state: Tensor, site: int) -> Tensor:
    """E with ``<aim|G state> = tr(E† G)`` for every gate G on ``site`` and the next, (4, 4)."""
    after = state.numel() >> (site + 2)
    if after > _NARROW // 2:
        return torch.bmm(aim.view(-1, 4, after), state.view(-1, 4, after).mH).sum(0)
    wide = aim.view(-1, 4 * after).T @ state.view(-1, 4 * after).conj()
    traced: Tensor = wide.view(4, after, 4, after).diagonal(dim1=1, dim2=3).sum(-1)
    return traced


def polar(environments: Tensor) -> Tensor:
    """The unitary G, (…, 4, 4), with the largest ``Re tr(E† G)``; of real ones, the best with determinant 1.

    Source: arXiv:0707.1454, section IV; the determinant as in Kabsch, Acta Cryst. A32 (1976) 922.
    """
    left, _, right = torch.linalg.svd(environments)
    best: Tensor = left @ right
    if best.is_complex():
        return best
    # A reflection along the least singular direction costs least.
    turn: Tensor = torch.linalg.det(best).sign()[..., None, None] - 1
    proper: Tensor = best + turn * left[..., :, -1:] * right[..., -1:, :]
    return proper


class Polar:
    """Unitary gates, fitted by polar sweeps from |0…0>.

    Args:
        gates: (4, 4) each, unitary, in the order in which they act.
        wiring: Where they act.
        goal: What to come close to.
    """

    def __init__(self, gates: Sequence[Tensor], wiring: Wiring, goal: Goal) -> None:
        self.gates = list(gates)
        self.wiring = wiring
        self.goal = goal

    def look(self, active: Sequence[int]) -> float:
        """The error of the circuit made of the active gates."""
        state = zero_state(self.wiring.sites, self.gates[0])
        for k in active:
            state = act(self.gates[k], state, self.wiring.gates[k][0])
        return self._measure(state)

    def sweep(self, active: Sequence[int]) -> float:
        """Set the active gates once from the last to the first, and once back.

        Undoing a gate gives the state before it, and pulling the target back gives what the gates behind leave of it:
        six gate applications a gate, and no more than two states in memory.
        """
        self.gates = gates = list(self.gates)
        state, aim = self._state, self.goal.fill(self._state, self._scale)
        if self._scale < 0:
            aim = -aim
        for k in reversed(active):
            site = self.wiring.gates[k][0]
            state = act(gates[k].mH, state, site)
            gates[k] = self._best(aim, state, site)
            aim = act(gates[k].mH, aim, site)
        # Rounding would gather in a state that is undone and redone for ever; this one is known.
        state = zero_state(self.wiring.sites, state)
        for k in active:
            site = self.wiring.gates[k][0]
            aim = act(gates[k], aim, site)
            gates[k] = self._best(aim, state, site)
            state = act(gates[k], state, site)
        return self._measure(state)

    def _best(self, aim: Tensor, state: Tensor, site: int) -> Tensor:
        # A decomposition of 16 numbers is no work for an accelerator.
        return polar(environment(aim, state, site).cpu()).to(state.device)

    def _measure(self, state: Tensor) -> float:
        self._state = state
        error, self._scale = self.goal.measure(state)
        return error


class LeastSquares:
    """Free gates, fitted by alternating least squares from a product state.

    Args:
        gates: (4, 4) each, real, in the order in which they act.
        wiring: Where they act.
        goal: What to come close to.
        start: (Q, 2), the product state. On a wire that has a gate its vector adds nothing to what the gate can do,
            so only the vectors of the other wires are fitted.
    """

    def __init__(self, gates: Sequence[Tensor], wiring: Wiring, goal: Goal, start: Tensor) -> None:
        self.gates = list(gates)
        self.wiring = wiring
        self.goal = goal
        self.start = start.clone()

    def look(self, active: Sequence[int]) -> float:
        """The error of the circuit made of the active gates."""
        return self._measure(self._run(active, product_state(self.start))[-1])

    def sweep(self, active: Sequence[int]) -> float:
        """Set the active gates once, from the last to the first, then the vectors of the wires without gates."""
        self.gates, self.start = list(self.gates), self.start.clone()
        wiring = Wiring(self.wiring.sites, tuple(self.wiring.gates[k] for k in active), (len(active),))
        aim = filled = self.goal.fill(self._state, self._scale)
        scale = self._scale
        # Free gates cannot be undone safely: states are kept at the start of every block, and made again inside it.
        size = max(1, math.isqrt(len(active)))
        blocks = [range(k, min(k + size, len(active))) for k in range(0, len(active), size)]
        kept = [product_state(self.start)]
        for block in blocks[:-1]:
            kept.append(self._run([active[place] for place in block], kept[-1])[-1])
        for block in reversed(blocks):
            states = self._run([active[place] for place in block[:-1]], kept.pop())
            for place in reversed(block):
                gates = [self.gates[k] for k in active]
                site, before = wiring.gates[place][0], states.pop()
                metric = norm_metric(gates, wiring, self.start, place, before)
                scale = self._solve_(active[place], metric, environment(aim, before, site), scale)
                aim = act(self.gates[active[place]].T, aim, site)
        balanced = balance([self.gates[k] for k in active], wiring)
        for k, gate in zip(active, balanced, strict=True):
            self.gates[k] = gate
        state = self._run(active, product_state(self.start))[-1]
        for site, touched in enumerate(self.wiring.wires):
            if not touched:
                state = self._solve_vector_(site, filled, state)
        return self._measure(state)

    def _run(self, active: Sequence[int], state: Tensor) -> list[Tensor]:
        """The states before the first and behind each of the active gates."""
        states = [state]
        for k in active:
            states.append(act(self.gates[k], states[-1], self.wiring.gates[k][0]))
        return states

    def _solve_(self, k: int, metric: Tensor, wanted: Tensor, scale: float) -> float:
        metric, wanted = metric.cpu(), wanted.cpu()
        gate = scale * self.gates[k].flatten().cpu()
        # What the state hardly determines stays nearly as it is: a step's own length counts a little.
        unit = torch.eye(16, dtype=metric.dtype) * (_CAUTION * metric.diagonal().sum())
        if unit[0, 0] > 0:
            gate = gate + torch.linalg.solve(metric + unit, wanted.flatten() - metric @ gate)
        # The state keeps norm 1, so that no gate grows at another's cost.
        norm = torch.dot(gate, metric @ gate).clamp_min(0).sqrt().item()
        if norm > 0:
            self.gates[k] = (gate / norm).view(4, 4).to(self.start.device)
        return norm if norm > 0 else scale

    def _solve_vector_(self, site: int, aim: Tensor, state: Tensor) -> Tensor:
        vector = self.start[site] / self.start[site].norm()
        others = torch.einsum("bia,i->ba", state.view(2**site, 2, -1), vector)
        best = torch.einsum("bia,ba->i", aim.view(2**site, 2, -1), others)
        if best.norm() > 0:
            vector = best / best.norm()
        self.start[site] = vector
        return torch.einsum("ba,i->bia", others, vector).reshape(-1)

    def _measure(self, state: Tensor) -> float:
        self._state = state
        error, self._scale = self.goal.measure(state)
        return error


def balance(gates: Sequence[Tensor], wiring: Wiring) -> list[Tensor]:
    """The same circuit of free gates, with both ends of every wire between two gates equally large.

    On such a wire M can be put behind the first gate and M⁻¹ before the second. Of all M one makes the sum of squares
    of both gates least. Without it gates grow in directions that hardly matter, and single precision loses the rest.

    Args:
        gates: (4, 4) each, real, in the order in which they act.
        wiring: Where they act.

    Returns:
        The new gates.
    """
    legs = [gate.view(2, 2, 2, 2) for gate in gates]  # shape: (first out, second out, first in, second in)
    for site, touched in enumerate(wiring.wires):
        for a, b in pairwise(touched):
            out, into = site - wiring.gates[a][0], site - wiring.gates[b][0]
            first, second = legs[a].movedim(out, 0), legs[b].movedim(2 + into, 0)
            sizes = [_gram(first.flatten(1)), _gram(second.flatten(1))]
            if not all(size.isfinite().all() and torch.linalg.det(size) > 0 for size in sizes):
                continue
            # The least sum is where M A M = B for M = XᵀX: M is the geometric mean of A⁻¹ and B.
            change = _root(_geometric_mean(torch.linalg.inv(sizes[0]), sizes[1]))
            legs[a] = torch.tensordot(change, first, 1).movedim(0, out)
            legs[b] = torch.tensordot(torch.linalg.inv(change), second, 1).movedim(0, 2 + into)
    return [leg.reshape(4, 4) for leg in legs]


def _gram(rows: Tensor) -> Tensor:
    gram = rows @ rows.T
    return gram + torch.eye(2, dtype=gram.dtype, device=gram.device) * (_FLOOR * gram.diagonal().sum())


def _root(matrix: Tensor) -> Tensor:
    """Square root of a positive 2x2 matrix."""
    root = torch.linalg.det(matrix).sqrt()
    result: Tensor = (matrix + root * torch.eye(2).to(matrix)) / (matrix.diagonal().sum() + 2 * root).sqrt()
    return result


def _geometric_mean(first: Tensor, second: Tensor) -> Tensor:
    """The positive 2x2 matrix M with ``M first⁻¹ M = second``."""
    roots = [torch.linalg.det(matrix).sqrt() for matrix in (first, second)]
    total = first / roots[0] + second / roots[1]
    result: Tensor = total * (roots[0] * roots[1] / torch.linalg.det(total)).sqrt()
    return result


def norm_metric(gates: Sequence[Tensor], wiring: Wiring, start: Tensor, place: int, before: Tensor) -> Tensor:
    """``<W|W>`` as a quadratic form of one gate: the Gram matrix of ``dW/dG``.

    Args:
        gates: (4, 4) each, real, in the order in which they act.
        wiring: Where they act.
        start: (Q, 2), the product state.
        place: Which gate.
        before: (2^Q,), the state before that gate.

    Returns:
        (16, 16), symmetric, indices (out, in) of the gate.
    """
    contract = _norm_contraction(wiring, place)
    if contract is None:
        site = wiring.gates[place][0]
        unit = torch.eye(4, dtype=before.dtype, device=before.device)
        columns = torch.einsum("po,biq->bpqoi", unit, before.view(2**site, 4, -1)).reshape(-1)
        for gate, sites in zip(gates[place + 1 :], wiring.gates[place + 1 :], strict=True):
            columns = act(gate, columns, sites[0])
        columns = columns.view(-1, 16)
        return columns.T @ columns
    arrays = [gate.view(2, 2, 2, 2) for k, gate in enumerate(gates) if k != place] + list(start)
    expression, units = contract
    arrays = arrays + arrays + [torch.eye(2, dtype=start.dtype, device=start.device)] * units
    metric: Tensor = expression(*arrays)
    return metric.reshape(16, 16)


@lru_cache(maxsize=4096)
def _norm_contraction(wiring: Wiring, place: int) -> tuple[Any, int] | None:
    """The contraction of ``<W|W>`` without one gate, and the number of units it takes at the end.

    None where pushing 16 columns of states through the gates behind is less work.
    """
    import cotengra

    names, ends = network_indices(wiring, fixed_start=False)
    rest = [inds for k, inds in enumerate(names) if k != place]
    # The second copy shares only the outputs; where an output leaves the gate taken out, a unit joins the copies.
    copies = [tuple(name if name in ends else f"{name}'" for name in inds) for inds in rest]
    units = [(name, f"{name}'") for name in names[place] if name in ends]
    inputs = rest + copies + units
    opened = names[place] + tuple(f"{name}'" for name in names[place])
    shapes = [(2,) * len(inds) for inds in inputs]
    tree = cotengra.array_contract_tree(inputs, opened, shapes=shapes, optimize="greedy")
    behind = len(wiring.gates) - place
    if tree.contraction_cost() > 16 * 2**wiring.sites * 4 * (behind + 4):
        return None
    expression = cotengra.array_contract_expression(inputs, opened, shapes=shapes, optimize=tree.get_path())
    return expression, len(units)
