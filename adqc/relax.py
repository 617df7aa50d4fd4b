"""Between ADQC (unitary gates) and ADTN (any real gates): relax, penalise, project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from adqc.brickwall import BrickWall
from adqc.gates import find_family
from adqc.gauge import convert, coordinates
from adqc.selection import find_targets


def relax_(model: nn.Module) -> nn.Module:
    """ADQC -> ADTN: every real unitary gate becomes a ``free`` one with the same matrix; the function stays the same.

    The product state starts as |0…0>. Circuits that are free already stay as they are.

    Args:
        model: Any module with circuits; changed in place. Its gates are new parameters: make the optimiser anew.

    Returns:
        The model.

    Raises:
        ValueError: If the model has no circuit, or one with complex gates.

    Source: arXiv:2305.06058, Eq. (2): ADTN, the circuit without unitarity.
    """
    return _replace_(model, _relaxed, "free")


def project_(model: nn.Module, *, gate: str = "cartan") -> nn.Module:
    """ADTN -> the nearest ADQC, gate by gate.

    Each gate G becomes ``c R``, R the rotation nearest to it: the polar factor of the columns that meet a state, with
    determinant 1. Each site's start vector becomes a norm and a rotation RY, which the first gate on the site takes in
    (on a site without gates only its |0> part can stay). The factors c and the norms go into the scale. After
    :func:`relax_` the function stays the same; after training it changes the more the larger :func:`unitarity` is.

    Args:
        model: Any module with circuits; changed in place. Its gates are new parameters: make the optimiser anew.
        gate: ``"cartan"`` or ``"so4"``. Circuits that are unitary already stay as they are.

    Returns:
        The model.

    Raises:
        ValueError: If the model has no circuit, the gate is not a real unitary one, or a free gate has NaN or infinite
            entries.
    """
    family = find_family(gate)
    if not (family.unitary and family.real and family.sites == 2):
        raise ValueError(
            f"free gates are real, act on two qubits and can be projected to unitary ones of their kind, 'cartan' or "
            f"'so4', not {family.name!r}"
        )
    return _replace_(model, _projected, gate)


def unitarity(model: nn.Module) -> Tensor:
    """How far the free gates of a model are from unitary ones: the mean of ``||GᵀG - 1||²`` over them.

    The norm of a gate can go into the scale, so each gate is first brought to the norm 2 of a unitary one.

    Args:
        model: Any module.

    Returns:
        A differentiable number >= 0, (); 0 where no circuit has free gates.
    """
    terms = []
    for wall in _walls(model):
        if not wall.family.unitary and len(wall.wiring.gates):
            gates = wall.matrices()
            tiny = torch.finfo(gates.dtype).tiny
            # shape: (G, 4, 4)
            gates = gates * (2 / gates.square().sum(dim=(1, 2), keepdim=True).clamp_min(tiny).sqrt())
            off = gates.mT @ gates - torch.eye(gates.shape[-1], dtype=gates.dtype, device=gates.device)
            terms.append(off.square().sum(dim=(1, 2)))
    if terms:
        return torch.cat([term.to(terms[0].device) for term in terms]).mean()
    anchor = next(model.parameters(), None)
    return torch.zeros(()) if anchor is None else torch.zeros((), device=anchor.device)


def _walls(model: nn.Module) -> list[BrickWall]:
    return [module for module in model.modules() if isinstance(module, BrickWall)]


def _replace_(model: nn.Module, make: Callable[[BrickWall, str], BrickWall], gate: str) -> nn.Module:
    walls = {name: module for name, module in model.named_modules() if isinstance(module, BrickWall)}
    if not walls:
        raise ValueError("the model has no circuits: compress it first with adqc.compress_")
    names = {id(target.wall): target.name for target in find_targets(model)}
    made = []
    for name, wall in walls.items():
        # Nothing is changed before every circuit has been converted.
        try:
            new = make(wall, gate)
        except ValueError as error:
            raise ValueError(f"{names.get(id(wall), name) or 'the circuit'}: {error}") from error
        if new is wall:
            continue
        new.gates.requires_grad_(wall.gates.requires_grad)
        new.scale.requires_grad_(wall.scale.requires_grad)
        if new.state is not None:
            new.state.requires_grad_(wall.gates.requires_grad)
        made.append((wall, new.train(wall.training)))
    for wall, new in made:
        # The wall keeps its identity, so that layers that share it go on sharing it.
        wall.__dict__ = new.__dict__
    return model


def _relaxed(wall: BrickWall, gate: str) -> BrickWall:
    if not wall.family.unitary:
        return wall
    if not wall.family.real:
        raise ValueError(
            f"its {wall.family.name!r} gates are complex, but free gates are real: only real families such as 'cartan' "
            f"and 'so4' can be relaxed"
        )
    return convert(wall, gate)


def _projected(wall: BrickWall, gate: str) -> BrickWall:
    if wall.family.unitary:
        return wall
    assert wall.state is not None, "free circuits have a start state"
    matrices = wall.family.matrices(wall.gate_parameters().detach().to("cpu", torch.float64))
    state = wall.state.detach().to("cpu", torch.float64)
    if not (matrices.isfinite().all() and state.isfinite().all()):
        raise ValueError("its gates have NaN or infinite entries and cannot be projected: load an earlier checkpoint")
    scale = wall.scale.detach().to("cpu", torch.float64).clone()
    rotations = []
    for matrix, sites, fresh in zip(matrices, wall.wiring.gates, wall.wiring.fresh, strict=True):
        turn = torch.ones(1, 1, dtype=torch.float64)
        for site, first in zip(sites, fresh, strict=True):
            norm, rotation = _start_rotation(state[site]) if first else (1.0, torch.eye(2, dtype=torch.float64))
            turn, scale = torch.kron(turn, rotation), scale * norm
        rotation, factor = _nearest_rotation(matrix @ turn, fresh)
        rotations.append(rotation)
        scale = scale * factor
    for site, touched in enumerate(wall.wiring.wires):
        if not touched:
            scale = scale * state[site, 0]
    config = replace(wall.config, gate=gate)
    new = BrickWall(
        wall.shape, config, generator=torch.Generator().manual_seed(0), device=wall.scale.device, dtype=wall.scale.dtype
    )
    stacked = torch.stack(rotations) if rotations else matrices
    new.set_gate_parameters_(coordinates(new.family, new.wiring, stacked))
    with torch.no_grad():
        new.scale.copy_(scale)
    return new


def _start_rotation(vector: Tensor) -> tuple[float, Tensor]:
    """Norm n and rotation RY with ``vector = n RY |0>``."""
    norm = float(vector.norm())
    cos, sin = (vector / norm).tolist() if norm else (1.0, 0.0)
    return norm, torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)


def _nearest_rotation(gate: Tensor, fresh: tuple[bool, ...]) -> tuple[Tensor, float]:
    """R of determinant 1 and c with ``||G - c R||`` least on the columns whose fresh inputs are |0>."""
    size = len(gate)
    used = [
        column
        for column in range(size)
        if not any(first and column >> (len(fresh) - 1 - k) & 1 for k, first in enumerate(fresh))
    ]
    left, values, right = torch.linalg.svd(gate[:, used], full_matrices=False)
    factor = float(values.sum()) / len(used)
    rotation = torch.zeros_like(gate)
    rotation[:, used] = left @ right
    others = [column for column in range(size) if column not in used]
    if others:
        # Columns that meet no state only complete the rotation.
        rotation[:, others] = torch.linalg.svd(rotation[:, used]).U[:, len(used) :]
        if torch.linalg.det(rotation) < 0:
            rotation[:, others[-1]] *= -1
    elif torch.linalg.det(rotation) < 0:
        # The direction in which the gate is shortest turns round.
        rotation = left @ torch.diag(torch.tensor([1.0] * (size - 1) + [-1.0], dtype=torch.float64)) @ right
        factor -= 2 * float(values[-1]) / size
    return rotation, factor
