"""From gates to the parameters of a family, exactly: what a gate does not store moves along the wires.

On every wire between two gates a one-qubit gate can be taken from one and given to the other without a change of the
state. The minimal families store gates without that freedom. Walking through the circuit from the last gate to the
first, each gate is split into the part that its family stores and one-qubit gates on its incoming wires, which the
earlier gates on those wires take over; on a wire that still holds |0> they end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from adqc.angles import euler_angles, quaternion_logarithm, real_schmidt, split_rotation
from adqc.brickwall import BrickWall
from adqc.gates import GateFamily, find_family
from adqc.geometry import Wiring
from adqc.orthogonal import complete
from adqc.pauli import LEFT_WORDS, ODD_Y, PAULI_WORDS, RIGHT_WORDS, pauli

Fresh = tuple[bool, ...]
Split = tuple[Tensor, Tensor, Tensor]

# Columns: the Bell states with the phases that make real orthogonal matrices of one-qubit gates (quant-ph/0002045).
_BELL = torch.tensor([[1, 1j, 0, 0], [0, 0, 1j, 1], [0, 0, 1j, -1], [1, -1j, 0, 0]], dtype=torch.complex128) / 2**0.5
_SWAP = [0, 2, 1, 3]


def coordinates(family: GateFamily, wiring: Wiring, matrices: Tensor) -> Tensor:
    """Parameters with which a family prepares the same state from |0…0> as the given gates do.

    Args:
        family: ``cartan``, ``so4``, ``cartan-su4``, ``su4``, ``free``, or one whose parameters are a matrix's columns.
        wiring: Where the gates act.
        matrices: (G, 2^k, 2^k), ``matrix[out, in]``, in the order in which they act; unitary (any real gates for
            ``free``), and real for the real families.

    Returns:
        (G, p), float64, on the CPU; what a gate does not store is zero.

    Raises:
        ValueError: If the family has no inverse or another size, or the gates are complex, not unitary, or improper
            (determinant -1) where the family cannot be.

    Source: quant-ph/0308006 (two-qubit gates in the Bell basis), with the Euler angles of SO(4)'s two quaternions for
    the real gates, and Takagi's factorisation for complex gates on one |0>.
    """
    peel = _peelers().get(family.name)
    if peel is None and not family.columns:
        known = ", ".join(_peelers())
        raise ValueError(f"gate family {family.name!r} gives no parameters for a gate: convert to one of {known}")
    size = 2**family.sites
    if len(matrices) and tuple(matrices.shape[1:]) != (size, size):
        found = "x".join(map(str, matrices.shape[1:]))
        raise ValueError(f"gate family {family.name!r} has {size}x{size} gates, but these are {found}")
    gates = matrices.detach().to("cpu", torch.complex128 if matrices.is_complex() else torch.float64)
    if family.real and gates.is_complex():
        raise ValueError(f"gate family {family.name!r} is real, but the gates are complex: use 'cartan-su4' or 'su4'")
    if not family.real:
        gates = gates.to(torch.complex128)
    if family.columns:
        gates = complete(gates)
    if family.unitary and len(gates):
        distance = (gates @ gates.mH - torch.eye(size, dtype=gates.dtype)).abs().max().item()
        if not distance < 1e-3:
            raise ValueError(
                f"gate family {family.name!r} is unitary, but the gates are not (off by {distance:.1e}): "
                "project them first"
            )
    if peel is None:
        return _columns(family, wiring, gates)
    params = torch.zeros(len(gates), family.parameters, dtype=torch.float64)
    pending = [torch.eye(2, dtype=gates.dtype)] * wiring.sites
    for k in reversed(range(len(gates))):
        first, second = wiring.gates[k]
        gate = _product(pending[first], pending[second]) @ gates[k]
        try:
            params[k], pending[first], pending[second] = peel(gate, wiring.fresh[k])
        except ArithmeticError as error:
            raise ValueError(f"gate {k} on sites {wiring.gates[k]} cannot become {family.name!r}: {error}") from None
    return params


def _columns(family: GateFamily, wiring: Wiring, gates: Tensor) -> Tensor:
    """The columns of each gate that its fresh wires let through."""
    found = torch.zeros(len(gates), family.parameters, dtype=torch.float64)
    for row, gate, fresh in zip(found, gates, wiring.fresh, strict=True):
        kept = list(family.stored(fresh))
        row[kept] = gate.flatten()[kept]
    return found


def convert(wall: BrickWall, gate: str | GateFamily) -> BrickWall:
    """A wall of another gate family that gives the same tensor, to rounding.

    Between ``so4`` and ``cartan``, ``su4`` and ``cartan-su4``; from any real family to ``free`` and to the complex
    ones; from families made by users to the built-in ones.

    Args:
        wall: The wall to start from; it stays as it is.
        gate: The new family or its name.

    Returns:
        A new wall on the same device and in the same dtype, with the same scale.

    Raises:
        ValueError: If the new family cannot give these gates (see :func:`coordinates`) or acts on another number of
            qubits, or the wall is not unitary.

    Example:
        >>> from adqc.config import Circuit
        >>> wall = BrickWall((8, 8), Circuit(depth=4, gate="so4"), dtype=torch.float64)
        >>> small = convert(wall, "cartan")
        >>> torch.allclose(small(), wall()), small.parameter_count < wall.parameter_count
        (True, True)
    """
    family = find_family(gate)
    if wall.state is not None and family.unitary:
        raise ValueError(
            f"a wall of {wall.family.name!r} gates is not a unitary circuit and cannot become {family.name!r} exactly: "
            "project it first"
        )
    if family.sites != wall.family.sites:
        raise ValueError(
            f"a wall of {wall.family.name!r} gates, on {wall.family.sites} qubits, cannot become one of "
            f"{family.name!r}, whose gates act on {family.sites}: fit a new circuit to its tensor instead"
        )
    config = replace(wall.config, gate=gate)
    # Its own generator: a conversion must not move torch's global one.
    made = BrickWall(
        wall.shape, config, generator=torch.Generator().manual_seed(0), device=wall.scale.device, dtype=wall.scale.dtype
    )
    if family == wall.family:
        made.load_state_dict(wall.state_dict())
        return made
    with torch.no_grad():
        made.set_gate_parameters_(
            coordinates(family, wall.wiring, wall.family.full_matrices(wall.gate_parameters().double()))
        )
        made.scale.copy_(wall.scale)
    return made


def _peelers() -> dict[str, Callable[[Tensor, Fresh], Split]]:
    return {
        "cartan": _peel_cartan,
        "so4": _peel_so4,
        "cartan-su4": _peel_cartan_su4,
        "su4": _peel_su4,
        "free": _peel_free,
    }


def _peel_free(gate: Tensor, fresh: Fresh) -> Split:
    nothing = torch.eye(2, dtype=torch.float64)
    return gate.flatten(), nothing, nothing


# --- real gates -------------------------------------------------------------------------------------------------


def _proper(gate: Tensor, fresh: Fresh) -> Tensor:
    """The gate with determinant 1, changed only in a column that meets no state."""
    if torch.linalg.det(gate) > 0:
        return gate
    if not any(fresh):
        raise ArithmeticError("its determinant is -1, which no real gate of that family has; use 'cartan-su4'")
    return gate * gate.new_tensor([1, 1, 1, -1])


def _peel_so4(gate: Tensor, fresh: Fresh) -> Split:
    logarithms = [quaternion_logarithm(q) for q in split_rotation(_proper(gate, fresh))]
    by_word = dict(zip(LEFT_WORDS + RIGHT_WORDS, torch.cat(logarithms), strict=True))
    nothing = torch.eye(2, dtype=torch.float64)
    return torch.stack([by_word[PAULI_WORDS[k]] for k in ODD_Y]), nothing, nothing


def _peel_cartan(gate: Tensor, fresh: Fresh) -> Split:
    nothing = torch.eye(2, dtype=torch.float64)
    if all(fresh):
        angle, first, second = real_schmidt(gate[:, 0] / gate[:, 0].norm())
        # exp(i a XY)|00> = cos a |00> - sin a |11>.
        return torch.stack([-angle, 0 * angle, first, second]), nothing, nothing
    if fresh[0]:
        params, second, first = _peel_cartan(gate[_SWAP][:, _SWAP], (False, True))
        return params[[1, 0, 3, 2]], first, second
    left, right = split_rotation(_proper(gate, fresh))
    c, a, before = euler_angles(left)
    if fresh[1]:
        # On second wire |0> the unit YZ of the right factor acts as YI of the left one does: as a rotation of the
        # first wire, which an earlier gate can take over.
        d, b, extra = _three_axes(right)
        return torch.stack([a, b, -2 * c, -2 * d]), _turn(before + extra), nothing
    d, b, other = euler_angles(right)
    return torch.stack([a, b, -2 * c, -2 * d]), _turn(before), _turn(other)


def _turn(angle: Tensor) -> Tensor:
    """exp(i angle Y)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, sin, -sin, cos]).view(2, 2)


def _three_axes(quaternion: Tensor) -> Tensor:
    """Angles (α, β, γ) with ``q = exp(α i) exp(β j) exp(γ k)``."""
    w, i, j, k = quaternion
    # (w ± j) + (i ± k) i = (cos β ± sin β) exp(i(α ± γ)): no arcsine, so no digits are lost at its ends.
    total, difference = torch.atan2(i + k, w + j), torch.atan2(i - k, w - j)
    middle = torch.atan2(torch.hypot(w + j, i + k), torch.hypot(w - j, i - k)) - math.pi / 4
    return torch.stack([(total + difference) / 2, middle, (total - difference) / 2])


# --- complex gates ----------------------------------------------------------------------------------------------


def _peel_su4(gate: Tensor, fresh: Fresh) -> Split:
    nothing = torch.eye(2, dtype=torch.complex128)
    determinant = torch.linalg.det(gate)
    if any(fresh):
        # A column that meets no state takes the phase.
        gate = gate * torch.stack([*torch.ones(3, dtype=gate.dtype), determinant.conj()])
        return _logarithm(gate), nothing, nothing
    phase = torch.polar(determinant.abs() ** 0, determinant.angle() / 4)
    return _logarithm(gate / phase), phase * nothing, nothing


def _logarithm(gate: Tensor) -> Tensor:
    """The 15 coordinates of ``qml.SpecialUnitary`` for a gate of determinant 1."""
    vectors = _eigenvectors((gate + gate.mH) / 2, (gate - gate.mH) / 2j)
    angles = torch.einsum("ki,kl,li->i", vectors.conj(), gate, vectors).angle()
    # The angles add up to 2πn; moving the n largest (or smallest) by a turn makes the generator traceless.
    turns = int((angles.sum() / (2 * math.pi)).round())
    if turns:
        angles[angles.argsort(descending=turns > 0)[: abs(turns)]] -= math.copysign(2 * math.pi, turns)
    generator = (vectors * angles) @ vectors.mH
    return torch.stack([torch.sum(generator * pauli(word).T).real / 4 for word in PAULI_WORDS])


def _peel_cartan_su4(gate: Tensor, fresh: Fresh) -> Split:
    if all(fresh):
        return _split_state(gate[:, 0])
    if fresh[0]:
        params, second, first = _split_isometry(gate[_SWAP][:, _SWAP])
        return params[[0, 1, 2, 6, 7, 8, 3, 4, 5]], first, second
    return _split_isometry(gate) if fresh[1] else _split_unitary(gate)


def _split_state(state: Tensor) -> Split:
    """(A ⊗ B) exp(i(a XX + c ZZ))|00>, c for the phase: a Schmidt decomposition."""
    first, values, second = torch.linalg.svd(state.view(2, 2))
    # exp(i a XX)|00> = cos a |00> + i sin a |11>.
    first, second = first * torch.tensor([1, -1j]), second.T
    a = torch.atan2(values[1], values[0])
    phases = [torch.linalg.det(side).angle() / 2 for side in (first, second)]
    left, right = (_euler_zyz(side) for side in (first, second))
    # Both first rotations turn the Schmidt vectors by the same phase: one holds for two.
    left[0] += right[0]
    right[0] = 0
    nothing = torch.eye(2, dtype=torch.complex128)
    return torch.cat([torch.stack([a, 0 * a, phases[0] + phases[1]]), left, right]), nothing, nothing


def _split_isometry(gate: Tensor) -> Split:
    """A gate whose second wire holds |0>, as (A ⊗ B) exp(i(a XX + b YY)) (C ⊗ 1)."""
    columns = _BELL.mH @ gate[:, [0, 2]]
    # One-qubit gates are real rotations here, so the product with the transposed depends on a, b and C alone.
    vectors = _takagi(columns.T @ columns).conj()
    # Where s is near 1 the imaginary part is small, and known better than what 1 - s tells about it.
    mixing = torch.linalg.svd((columns @ vectors).imag).Vh.T
    vectors = vectors @ mixing.to(vectors.dtype)
    turned = columns @ vectors
    # Its real and imaginary parts are now four orthogonal vectors: x1, y1, x2, y2.
    parts = torch.stack([turned.real[:, 0], turned.imag[:, 0], turned.real[:, 1], turned.imag[:, 1]], dim=1)
    rotation = _orthonormal(parts)
    lengths = (rotation * parts).sum(dim=0)
    if torch.linalg.det(rotation) < 0:
        rotation, lengths = rotation * torch.tensor([1, -1, 1, 1]), lengths * torch.tensor([1, -1, 1, 1])
    first, second = torch.atan2(lengths[[1, 3]], lengths[[0, 2]]) + math.pi / 4
    # The same for exp(i(a XX + b YY)) itself: on |00> it turns by a - b, on |10> by a + b.
    pair = torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64) / 2**0.5
    locals_ = _split_product(_BELL @ (rotation @ torch.block_diag(pair, pair).T).to(_BELL.dtype) @ _BELL.mH)
    eighth = torch.tensor([math.pi / 4], dtype=torch.float64)
    before = torch.cat([torch.exp(-1j * eighth), torch.exp(1j * eighth)])[:, None] * vectors.mH
    core = torch.stack([(first + second) / 2, (second - first) / 2, 0 * first])
    return torch.cat([core, *map(_euler_zyz, locals_)]), before, torch.eye(2, dtype=torch.complex128)


def _split_unitary(gate: Tensor) -> Split:
    """Any gate as (A ⊗ B) exp(i(a XX + b YY + c ZZ)) (C ⊗ D), its phase in C."""
    turned = _BELL.mH @ gate @ _BELL
    symmetric = turned.T @ turned
    right = _eigenvectors(symmetric.real, symmetric.imag)
    if torch.linalg.det(right) < 0:
        right = right * torch.tensor([-1, 1, 1, 1])
    halves = torch.einsum("ki,kl,li->i", right.to(symmetric.dtype), symmetric, right.to(symmetric.dtype)).angle() / 2
    left = (turned @ right.to(turned.dtype) * torch.exp(-1j * halves)).real
    if torch.linalg.det(left) < 0:
        left, halves = left * torch.tensor([-1, 1, 1, 1]), halves + halves.new_tensor([math.pi, 0, 0, 0])
    w, x, y, z = halves
    core = torch.stack([w - x + y - z, -w + x + y - z, w + x - y - z]) / 4
    after = _split_product(_BELL @ left.to(_BELL.dtype) @ _BELL.mH)
    first, second = _split_product(_BELL @ right.T.to(_BELL.dtype) @ _BELL.mH)
    return torch.cat([core, *map(_euler_zyz, after)]), torch.exp(1j * halves.mean()) * first, second


def _eigenvectors(first: Tensor, second: Tensor) -> Tensor:
    """Common eigenvectors of two commuting Hermitian 4x4 matrices, the parts of a unitary one.

    Points on a circle are seen from a direction; two of them coincide from one direction only. Of seven directions at
    least one is far from the directions of all six pairs, and there the eigenvectors are right for both matrices, to
    rounding, however close eigenvalues are.
    """
    angles = torch.arange(7, dtype=torch.float64)[:, None, None] * (math.pi / 7)
    vectors = torch.linalg.eigh(angles.cos() * first + angles.sin() * second).eigenvectors  # shape: (7, 4, 4)
    both = torch.stack([first, second]).unsqueeze(1)
    turned = vectors.mH @ both @ vectors
    rest = turned - torch.diag_embed(torch.diagonal(turned, dim1=-2, dim2=-1))
    best: Tensor = vectors[rest.abs().square().sum(dim=(0, 2, 3)).argmin()]
    return best


def _takagi(symmetric: Tensor) -> Tensor:
    """Unitary U with ``symmetric = U diag(s) U.T``, s >= 0, for a complex symmetric 2x2 matrix."""
    if not symmetric.abs().max() > 0:
        return torch.eye(2, dtype=torch.complex128)
    # Where s is only rounding, columns come out orthogonal all the same if the matrix is symmetric to the last bit.
    symmetric = (symmetric + symmetric.T) / 2
    # U's columns are what the antilinear map z -> S z* keeps up to a factor s: a real symmetric eigenproblem.
    re, im = symmetric.real, symmetric.imag
    stacked = torch.linalg.eigh(torch.cat([torch.cat([re, im], 1), torch.cat([im, -re], 1)])).eigenvectors
    return torch.complex(stacked[:2, 2:].contiguous(), stacked[2:, 2:].contiguous())


def _orthonormal(columns: Tensor) -> Tensor:
    """Orthonormal columns along those of a 4x4 matrix that are orthogonal to rounding and may be short or zero."""
    result = torch.zeros_like(columns)
    # Long ones first: the direction of a short one carries the rounding of all.
    for k in columns.norm(dim=0).argsort(descending=True).tolist():
        for vector in (columns[:, k], *torch.eye(4, dtype=torch.float64)):
            length = vector.norm()
            for _ in range(2):
                vector = vector - result @ (result.T @ vector)
            if vector.norm() > 0.4 * length and length > 0:
                result[:, k] = vector / vector.norm()
                break
    return result


def _product(first: Tensor, second: Tensor) -> Tensor:
    return (first[:, None, :, None] * second[None, :, None, :]).reshape(4, 4)


def _split_product(gate: Tensor) -> tuple[Tensor, Tensor]:
    """A, B in SU(2) with ``gate = A ⊗ B``."""
    blocks = gate.view(2, 2, 2, 2).transpose(1, 2)  # shape: (A out, A in, B out, B in)
    second = blocks.flatten(0, 1)[blocks.flatten(0, 1).abs().square().sum(dim=(1, 2)).argmax()]
    second = second / torch.linalg.det(second).sqrt()
    return torch.einsum("acbd,bd->ac", blocks, second.conj()) / 2, second


def _euler_zyz(gate: Tensor) -> Tensor:
    """Angles (α, β, γ) with ``gate = RZ(γ) RY(β) RZ(α)`` up to the phase det^½."""
    gate = gate * torch.exp(-0.5j * torch.linalg.det(gate).angle())
    total, difference = gate[1, 1].angle(), gate[1, 0].angle()
    middle = 2 * torch.atan2(gate[1, 0].abs(), gate[1, 1].abs())
    return torch.stack([total - difference, middle, total + difference])
