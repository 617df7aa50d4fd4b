"""Stage 1: the circuit that comes closest to a given tensor.

Minimises the relative squared error ``||T - W||² / ||T||²`` over the gates and the scale (arXiv:2305.06058, section on
two-stage training): by sweeps that set each gate in turn to its best value, or by torch's optimisers.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adqc.brickwall import BrickWall
from adqc.config import Fit
from adqc.engine.arrange import to_state
from adqc.engine.statevector import run_gates
from adqc.gauge import coordinates
from adqc.geometry import Layout, Wiring
from adqc.minimal import decompose, has_minimal_form, set_isometries_
from adqc.sweeps import Goal, LeastSquares, Polar, Sweeper

Progress = Callable[[int, int, float], None]

# Families whose parameters can be found from the gates; the others are left to the optimisers.
_SWEPT = ("cartan", "so4", "cartan-su4", "su4", "free")
# Larger states are swept in single precision: twice as fast, and half the memory.
_DOUBLE_UP_TO = 2**22
# An optimiser's error goes up and down: it has settled when this many steps brought nothing.
_PATIENCE = 20


@dataclass(frozen=True)
class FitResult:
    """How stage 1 went.

    Args:
        relative_error: ``||T - W||² / ||T||²`` of the wall as it is now; 0 for a target of zeros.
        seconds: How long it took.
        sweeps: Number of sweeps or optimiser steps made.
        history: The error before the first and after each of them, at the best scale. From the first sweep on sweeps
            never raise it; while layers are grown it is the error of the wall as far as it has grown.
    """

    relative_error: float
    seconds: float
    sweeps: int
    history: tuple[float, ...]


def fit_(wall: BrickWall, target: Tensor, *, fit: Fit | None = None, progress: Progress | None = None) -> FitResult:
    """Fit a wall to a tensor: minimise ``||target - wall()||²`` over its gates and its scale.

    Args:
        wall: The wall; its parameters are replaced. It never ends worse than it began (at its best scale).
        target: Real tensor of ``wall.shape``, finite.
        fit: How; None for the default ``Fit()``. ``"polar"`` sweeps over the gates, by polar factors for unitary
            families and by least squares for ``free``; ``fit.grow`` is for these sweeps. One staircase of wide gates
            is found at once, by singular-value decompositions. ``"adam"`` and ``"lbfgs"``
            take ``fit.sweeps`` steps on the wall's parameters, from where they are.
        progress: Called as ``progress(step, total, error)`` after every sweep or step.

    Returns:
        Error, seconds, number of sweeps, and the error after each.

    Raises:
        ValueError: If the target has another shape, is not real, or holds NaN or infinity, or the wall's family
            cannot be swept. The wall is then unchanged.

    Source: arXiv:2305.06058 (stage 1); arXiv:0707.1454 (polar sweeps).

    Example:
        >>> from adqc.config import Circuit
        >>> wall = BrickWall((8, 8), Circuit(depth=3), generator=torch.Generator().manual_seed(0))
        >>> result = fit_(wall, torch.eye(8), fit=Fit(sweeps=20))
        >>> result.relative_error < result.history[0]
        True
    """
    fit = Fit() if fit is None else fit
    began = time.perf_counter()
    target = _checked(wall, target)
    direct = has_minimal_form(wall.config)
    if fit.method == "polar" and wall.family.name not in _SWEPT and not direct:
        raise ValueError(
            f"gate family {wall.family.name!r} has no inverse that polar sweeps need: use Fit(method='adam') or "
            "Fit(method='lbfgs')"
        )
    kept = [parameter.detach().clone() for parameter in wall.parameters()]
    try:
        before = settle_(wall, target)
        if not target.any():
            return FitResult(0.0, time.perf_counter() - began, 0, (0.0,))
        history = [before]
        if fit.sweeps and (wall.gates.numel() or wall.state is not None):
            if fit.method == "polar":
                history += _improve_(_decompose_ if direct else _sweep_, wall, target, fit, progress)
            else:
                history += _descend_(wall, target, fit, progress)
        after = settle_(wall, target)
        if not after <= before:
            # Parameters in half precision may lose what the sweeps in double precision won.
            _restore_(wall, kept)
            after = settle_(wall, target)
    except BaseException:
        _restore_(wall, kept)
        raise
    return FitResult(after, time.perf_counter() - began, len(history) - 1, tuple(history))


@torch.no_grad()
def _restore_(wall: BrickWall, kept: Sequence[Tensor]) -> None:
    for parameter, old in zip(wall.parameters(), kept, strict=True):
        parameter.copy_(old)


@torch.no_grad()
def settle_(wall: BrickWall, target: Tensor) -> float:
    """Set the scale to its best value, by least squares.

    Args:
        wall: The wall; only its scale is replaced.
        target: Real tensor of ``wall.shape``.

    Returns:
        The relative squared error that is left; 0 for a target of zeros.
    """
    wall.scale.fill_(1)
    shape = wall().double().flatten()
    aim = target.to(shape).flatten()
    norm = torch.dot(shape, shape)
    wall.scale.copy_(torch.dot(shape, aim) / norm if norm > 0 else torch.zeros_like(norm))
    largest = aim.abs().max()
    if not largest > 0:
        return 0.0
    # Divided before they are squared: entries of 1e-200 have a norm too.
    power = (aim / largest).square().sum()
    return float(((aim - wall.scale.double() * shape) / largest).square().sum() / power)


def _checked(wall: BrickWall, target: Tensor) -> Tensor:
    target = target.detach()
    if tuple(target.shape) != wall.shape:
        raise ValueError(
            f"the circuit stands for a tensor of shape {wall.shape}, but the target has shape {tuple(target.shape)}: "
            "make the wall for the target's shape"
        )
    if not target.is_floating_point():
        raise ValueError(f"a circuit fits real tensors in floating point, got dtype {target.dtype}: convert it first")
    bad = int((~target.isfinite()).sum())
    if bad:
        raise ValueError(f"the target holds {bad} entries that are NaN or infinite: repair the weight before the fit")
    return target.to(wall.scale.device)


def _improve_(
    improve: Callable[[BrickWall, Tensor, Fit, Progress | None], list[float]],
    wall: BrickWall,
    target: Tensor,
    fit: Fit,
    progress: Progress | None,
) -> list[float]:
    """Fit the part of the target that the circuit's frequencies hold; the errors are those against all of it."""
    if wall.config.frequencies is None:
        return improve(wall, target, fit, progress)
    target = target.double() / target.abs().max()
    seen = wall.from_weight(target)
    share = float(seen.square().sum() / target.square().sum())
    if not share > 0:
        return []

    def whole(error: float) -> float:
        return 1 - share * (1 - error)

    def tell(step: int, total: int, error: float) -> None:
        if progress is not None:
            progress(step, total, whole(error))

    return [whole(error) for error in improve(wall, seen, fit, tell)]


def _decompose_(wall: BrickWall, target: Tensor, fit: Fit, progress: Progress | None) -> list[float]:
    """Find a staircase of wide gates by singular-value decompositions of the weight; the error after each round.

    What the crop hides is free: each round fills it with what the circuit of the last one has there.
    """
    dtype = torch.float64 if math.prod(wall.layout.padded) <= _DOUBLE_UP_TO else torch.float32
    goal = _make_goal(target.detach().to(dtype), wall.layout)
    work = copy.deepcopy(wall).to(dtype)
    filled, error, history = goal.target, math.inf, []
    for step in range(fit.sweeps):
        set_isometries_(work, decompose(filled, wall.wiring))
        with torch.no_grad():
            state = run_gates(work.matrices(), wall.wiring)
            found, scale = goal.measure(state)
        if not found < error:
            break
        history.append(found)
        with torch.no_grad():
            for parameter, new in zip(wall.parameters(), work.parameters(), strict=True):
                parameter.copy_(new)
        if progress is not None:
            progress(step + 1, fit.sweeps, found)
        if goal.seen is None or error - found < fit.tolerance:
            break
        error, filled = found, goal.target + scale * state * (1 - goal.seen)
    return history


# --- sweeps -----------------------------------------------------------------------------------------------------


def _sweep_(wall: BrickWall, target: Tensor, fit: Fit, progress: Progress | None) -> list[float]:
    """Sweep over the wall's gates and write them back; the error after every sweep."""
    dtype = torch.float64 if math.prod(wall.layout.padded) <= _DOUBLE_UP_TO else torch.float32
    goal = _make_goal(target.to(dtype), wall.layout)
    matrices = wall.family.matrices(wall.gate_parameters().detach().double())
    gates = list(matrices.to(dtype.to_complex() if matrices.is_complex() else dtype).unbind(0))
    sweeper: Sweeper
    if wall.state is None:
        sweeper = Polar(gates, wall.wiring, goal)
    else:
        sweeper = LeastSquares(gates, wall.wiring, goal, wall.state.detach().to(dtype))
    every = range(len(gates))
    first = copy.copy(sweeper)
    before = sweeper.look(every)
    history: list[float] = []
    stages = _stages(wall.wiring, fit.sweeps, behind=wall.state is not None) if fit.grow else []
    if stages:
        unit = torch.eye(2**wall.family.sites, dtype=gates[0].dtype, device=gates[0].device)
        sweeper.gates = [gate if k in stages[0][0] else unit for k, gate in enumerate(gates)]
        for active, sweeps in stages:
            sweeper, errors = _run(sweeper, active, sweeps, fit, progress, len(history))
            history += errors
    if not history or history[-1] > before:
        # A wall that fits already, better than what grows from its last layer: go on from there instead.
        sweeper, history = _run(first, every, fit.sweeps, fit, progress, 0)
    params = coordinates(wall.family, wall.wiring, torch.stack(sweeper.gates)) if gates else wall.gate_parameters()
    with torch.no_grad():
        wall.set_gate_parameters_(params)
        if isinstance(sweeper, LeastSquares) and wall.state is not None:
            wall.state.copy_(sweeper.start)
    return history


def _stages(wiring: Wiring, sweeps: int, *, behind: bool) -> list[tuple[range, int]]:
    """Which gates to sweep over, and how often: a layer or a few, then more of them, in the end all.

    Measured, unitary walls end lowest if new layers come in front, where the state is still |0…0> and the identity
    changes nothing; free walls if they come behind. Few sweeps a stage: a wall that converges while shallow stays near
    that minimum.

    Args:
        wiring: Where the gates act.
        sweeps: Number of sweeps in all.
        behind: Whether new layers come behind the others or in front of them.

    Returns:
        Ranges of gates, each with its sweeps; empty where there is nothing to grow.
    """
    count, each = len(wiring.gates), 2
    starts = [sum(wiring.layers[:layer]) for layer, size in enumerate(wiring.layers) if size] + [count]
    last = len(starts) - 1
    # At least half of the sweeps are for the whole circuit.
    steps = min(last - 1, sweeps // (2 * each))
    if steps < 1:
        return []
    depths = [1 + round(k * (last - 1) / steps) for k in range(steps)]
    shallow = [range(starts[depth]) if behind else range(starts[last - depth], count) for depth in depths]
    return [(active, each) for active in shallow] + [(range(count), sweeps)]


def _run(
    sweeper: Sweeper, active: Sequence[int], sweeps: int, fit: Fit, progress: Progress | None, done: int
) -> tuple[Sweeper, list[float]]:
    """Sweep until nothing is gained any more, or ``fit.sweeps`` are done in all; the error after every sweep."""
    history: list[float] = []
    error = sweeper.look(active)
    for _ in range(min(sweeps, fit.sweeps - done)):
        kept = copy.copy(sweeper)
        found = sweeper.sweep(active)
        if not found <= error:
            # What is left is rounding.
            return kept, history
        history.append(found)
        if progress is not None:
            progress(done + len(history), fit.sweeps, found)
        if error - found < fit.tolerance:
            break
        error = found
    return sweeper, history


def _make_goal(target: Tensor, layout: Layout) -> Goal:
    # Two steps, so that neither very small nor very large weights lose their norm.
    target = (target / target.abs().max()).reshape(layout.shape)
    state = to_state(target / target.norm(), layout).contiguous()
    if layout.shape == layout.padded:
        return Goal(state)
    return Goal(state, to_state(torch.ones_like(target), layout).contiguous())


# --- optimisers -------------------------------------------------------------------------------------------------


def _descend_(wall: BrickWall, target: Tensor, fit: Fit, progress: Progress | None) -> list[float]:
    """Minimise the error at the best scale with a torch optimiser; the error after every step."""
    # In the wall's own precision half-precision parameters would not move.
    work = copy.deepcopy(wall).double()
    with torch.no_grad():
        work.scale.fill_(1)
    work.scale.requires_grad_(False)
    trained = [parameter.requires_grad_() for name, parameter in work.named_parameters() if name != "scale"]
    aim = (target.double() / target.abs().max().double()).flatten()
    aim = aim / aim.norm()

    def missing() -> Tensor:
        """1 - |cos| of the angle between tensor and target."""
        shape: Tensor = work().flatten()
        cosine = torch.dot(shape, aim) / shape.norm()
        # Unlike the error 1 - cos², it has a slope where a random start is: at right angles.
        return 1 - torch.where(cosine < 0, -cosine, cosine)

    optimizer: torch.optim.Optimizer
    if fit.method == "adam":
        optimizer = torch.optim.Adam(trained, lr=fit.lr)
    else:
        optimizer = torch.optim.LBFGS(trained, max_iter=1, max_eval=25, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = missing()
        value.backward()
        return value

    history: list[float] = []
    best, kept, last = math.inf, [p.detach().clone() for p in trained], 0
    for step in range(fit.sweeps):
        with torch.enable_grad():
            optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            gap = max(0.0, missing().item())
        error = gap * (2 - gap)
        history.append(error)
        if progress is not None:
            progress(step + 1, fit.sweeps, error)
        if error < best - fit.tolerance:
            last = step
        if error < best:
            best, kept = error, [p.detach().clone() for p in trained]
        if step - last >= _PATIENCE or not math.isfinite(error):
            break
    with torch.no_grad():
        own = [parameter for name, parameter in wall.named_parameters() if name != "scale"]
        for parameter, value in zip(own, kept, strict=True):
            parameter.copy_(value)
    return history
