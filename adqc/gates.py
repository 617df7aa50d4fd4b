"""Gate families: real parameters -> a batch of gates, each family defined once by PennyLane operations.

``family.operations(p, wires)`` is the definition, a PennyLane quantum function; ``family.matrices(params)`` is the
same gate as torch matrices, in one call for a whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from adqc.arrays import NumpyArray, Pull, by_torch
from adqc.cartan import cartan_arrays, cartan_matrices
from adqc.cartan_su4 import cartan_su4_arrays
from adqc.orthogonal import complete, orthogonal_matrices, orthogonal_operations, orthogonal_start, stored_arrays
from adqc.pauli import ODD_Y, PAULI_WORDS, pauli
from adqc.special_orthogonal import so4_arrays, so4_matrices
from adqc.special_unitary import su4_arrays

Operations = Callable[[Any, Any], Any]


def _uniform_angles(fresh: Tensor, parameters: int, generator: torch.Generator | None) -> Tensor:
    return (
        torch.rand(len(fresh), parameters, generator=generator, dtype=torch.float64, device="cpu") * 2 - 1
    ) * math.pi


@dataclass(frozen=True)
class GateFamily:
    """What a brick is: p real parameters -> a gate on k neighbouring qubits, k = 2 unless ``sites`` says otherwise.

    Args:
        name: How configurations and files call it.
        parameters: Number of real parameters p of a gate.
        operations: PennyLane quantum function of ``(p, wires)``; ``p[k]`` is the k-th parameter, one number or a batch.
        matrices: ``(…, p) -> (…, 2^k, 2^k)``, real where ``real`` holds, else complex; ``matrix[out, in]``.
        unitary: Whether every gate is unitary.
        real: Whether every gate is a real matrix.
        minimal: For a gate whose two wires both still hold |0>: the parameters that it stores there (the others
            are zero, as they would not change the state). None stores all.
        edge: The same for a gate with one such wire.
        start: ``(fresh, generator) -> (G, p)`` Haar-like random parameters; ``fresh`` is a (G, k) mask of the wires
            that still hold |0>.
        identity: Parameters of the identity gate; None means all zero.
        sites: Number k of qubits that a gate acts on.
        columns: Whether the parameters are the entries of a matrix, of which a gate stores the columns that its fresh
            wires, which hold |0>, let through; the other columns, and the gate's, are zero.

    Attributes:
        arrays: ``matrices`` on a numpy array, and what makes the parameters' gradient of the gates'. Where a family has
            ``columns``, of stored entries, see :func:`adqc.orthogonal.stored_arrays`; None for others than the built-in
            ones.
    """

    name: str
    parameters: int
    operations: Operations
    matrices: Callable[[Tensor], Tensor]
    unitary: bool = True
    real: bool = True
    minimal: tuple[int, ...] | None = None
    edge: tuple[int, ...] | None = None
    start: Callable[[Tensor, torch.Generator | None], Tensor] | None = None
    identity: tuple[float, ...] | None = None
    sites: int = field(default=2)
    columns: bool = False

    arrays: Callable[..., tuple[NumpyArray, Pull]] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # No property: small circuits take as long as calls do. By identity, as what users bring need have no hash.
        other = (
            None if self.columns else partial(by_torch, partial(_make_promised, self.name, self.matrices, self.real))
        )
        object.__setattr__(self, "arrays", next((own for made, own in _ARRAYS if self.matrices is made), other))

    def stored(self, fresh: Sequence[bool]) -> tuple[int, ...]:
        """The parameters that a gate with these fresh wires stores."""
        if self.columns:
            size, closed = 2**self.sites, sum(2**k for k, new in enumerate(reversed(fresh)) if new)
            return tuple(row * size + column for row in range(size) for column in range(size) if not column & closed)
        kept = self.minimal if all(fresh) else self.edge if any(fresh) else None
        return tuple(range(self.parameters)) if kept is None else kept

    def full_matrices(self, params: Tensor) -> Tensor:
        """The gates with the columns that they do not store filled in, (…, p) -> (…, 2^k, 2^k)."""
        gates = self.matrices(params)
        return complete(gates) if self.columns else gates

    def random(self, fresh: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Haar-like random parameters, (G, p) in float64 on the CPU, for gates with these (G, k) fresh wires."""
        if self.start is not None:
            return self.start(fresh, generator)
        return _uniform_angles(fresh, self.parameters, generator)

    def near_identity(self, count: int, spread: float = 0.1, generator: torch.Generator | None = None) -> Tensor:
        """Parameters of ``count`` gates near the identity, (count, p) in float64: normal with this spread."""
        # A column of many entries goes as far from the identity's as one of four does.
        spread = 2 * spread / math.sqrt(2**self.sites) if self.columns else spread
        noise = torch.randn(count, self.parameters, generator=generator, dtype=torch.float64, device="cpu") * spread
        if self.identity is None:
            return noise
        near = noise + torch.tensor(self.identity, dtype=torch.float64, device="cpu")
        # Numbers of a gate that is not unitary are its entries: noise in them would lengthen the state, gate by gate.
        return near if self.unitary else near / math.sqrt(1 + 2**self.sites * spread**2)

    def __repr__(self) -> str:
        return f"GateFamily({self.name!r}, parameters={self.parameters}, unitary={self.unitary}, real={self.real})"


def _make_promised(name: str, matrices: Callable[[Tensor], Tensor], real: bool, params: Tensor) -> Tensor:
    """Gates of the type that loops take them for, whatever type a family made by a user returns."""
    gates = matrices(params)
    if not real:
        return gates.to(complex_type(params.dtype))
    if gates.is_complex():
        if gates.imag.any():
            raise ValueError(
                f"gate family {name!r} says that its gates are real, but its matrices have imaginary parts: make it "
                f"with real=False"
            )
        gates = gates.real
    return gates.to(params.dtype)


# --- cartan: the minimal real brick -----------------------------------------------------------------------------


def _cartan_operations(p: Any, wires: Any) -> None:
    import pennylane as qml

    qml.PauliRot(-2 * p[0], "XY", wires=wires)
    qml.PauliRot(-2 * p[1], "YX", wires=wires)
    qml.RY(p[2], wires=wires[0])
    qml.RY(p[3], wires=wires[1])


def _cartan_start(fresh: Tensor, generator: torch.Generator | None) -> Tensor:
    uniform = torch.rand(len(fresh), 4, generator=generator, dtype=torch.float64, device="cpu")
    # Haar measure of SO(4) = SU(2) x SU(2) in Euler angles: density sin(2a) on [0, pi/2].
    inner = (1 - 2 * uniform[:, :2]).acos() / 2
    params = torch.cat([inner, (uniform[:, 2:] * 4 - 2) * math.pi], dim=1)
    first = fresh.all(dim=1)
    # A Haar-random real state of two qubits has Schmidt angle a with density cos(2a) on [-pi/4, pi/4].
    params[first, 0] = (2 * uniform[first, 0] - 1).asin() / 2
    params[first, 1] = 0
    return params


# --- so4 and su4: qml.SpecialUnitary ----------------------------------------------------------------------------


def _exponential(generators: Tensor) -> Tensor:
    # torch's exponential of a lone matrix is off by up to 2e-10 in float64 and 5e-5 in float32, that of two together
    # is not (pytorch/pytorch#196592).
    lone = generators.shape[:-2].numel() == 1
    gates: Tensor = torch.linalg.matrix_exp(torch.stack([generators, generators]) if lone else generators)
    return gates[0] if lone else gates


def _so4_operations(p: Any, wires: Any) -> None:
    import pennylane as qml

    zero = 0 * p[0]
    slots = {k: p[i] for i, k in enumerate(ODD_Y)}
    qml.SpecialUnitary(qml.math.stack([slots.get(k, zero) for k in range(15)], axis=-1), wires=wires)


def _so4_start(fresh: Tensor, generator: torch.Generator | None) -> Tensor:
    # SO(4) = SU(2) x SU(2), spanned by (YI, XY, ZY) and (IY, YX, YZ): a Haar-random gate is two random unit
    # quaternions, and a quaternion's logarithm is its angle times its axis.
    quaternion = torch.randn(len(fresh), 2, 4, generator=generator, dtype=torch.float64, device="cpu")
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    axis = quaternion[..., 1:] / quaternion[..., 1:].norm(dim=-1, keepdim=True)
    logarithm: Tensor = axis * quaternion[..., :1].acos()  # shape: (G, 2, 3)
    slots = ("YI", "XY", "ZY", "IY", "YX", "YZ")
    return logarithm.flatten(1)[:, [slots.index(PAULI_WORDS[k]) for k in ODD_Y]]


def _su4_operations(p: Any, wires: Any) -> None:
    import pennylane as qml

    qml.SpecialUnitary(qml.math.stack([p[k] for k in range(15)], axis=-1), wires=wires)


def complex_type(dtype: torch.dtype) -> torch.dtype:
    """The complex type of a real one's precision."""
    # torch.compile does not know dtype.to_complex().
    return torch.complex128 if dtype == torch.float64 else torch.complex64


def _su4_matrices(params: Tensor) -> Tensor:
    # In double precision, as on arrays: torch's exponential loses digits, and gates are few.
    words = torch.stack([1j * pauli(word) for word in PAULI_WORDS]).to(params.device)
    gates = _exponential(torch.einsum("...k,kij->...ij", params.to(words.dtype), words))
    return gates.to(complex_type(params.dtype))


def _su4_start(fresh: Tensor, generator: torch.Generator | None) -> Tensor:
    count = len(fresh)
    normal = torch.randn(count, 4, 4, 2, generator=generator, dtype=torch.float64, device="cpu")
    q, r = torch.linalg.qr(torch.view_as_complex(normal))
    phases = torch.diagonal(r, dim1=-2, dim2=-1)
    haar = q * (phases / phases.abs()).unsqueeze(-2)
    return special_unitary_logarithm(haar)


def special_unitary_logarithm(gates: Tensor) -> Tensor:
    """The 15 coordinates of ``qml.SpecialUnitary`` of unitary gates, up to each gate's global phase.

    Args:
        gates: (G, 4, 4), complex, unitary.

    Returns:
        (G, 15), float64: ``exp(i Σ θ_k P_k)`` equals the gate times a fourth root of det⁻¹.
    """
    gates = gates.to(torch.complex128)
    gates = gates * torch.linalg.det(gates).pow(-0.25)[..., None, None]
    values, vectors = torch.linalg.eig(gates)
    # Eigenvectors of a unitary matrix with equal eigenvalues need not come out orthogonal: make them so.
    vectors, _ = torch.linalg.qr(vectors)
    angles = values.angle().sort(dim=-1, descending=True)
    vectors = vectors.take_along_dim(angles.indices.unsqueeze(-2), dim=-1)
    # det = 1 leaves a sum of 2πk: moving the k largest (or smallest) angles by a turn makes the generator traceless.
    turns = (angles.values.sum(-1, keepdim=True) / (2 * math.pi)).round()
    rank = torch.arange(4, dtype=torch.float64, device=gates.device)
    shift = (rank < turns).double() - (rank >= 4 + turns).double()
    generator = vectors @ torch.diag_embed((angles.values - 2 * math.pi * shift).to(gates.dtype)) @ vectors.mH
    words = torch.stack([pauli(word) for word in PAULI_WORDS]).to(gates.device)
    return torch.einsum("gij,kji->gk", generator, words).real / 4


# --- cartan-su4: the minimal complex brick ----------------------------------------------------------------------


def _cartan_su4_operations(p: Any, wires: Any) -> None:
    import pennylane as qml

    qml.IsingXX(-2 * p[0], wires=wires)
    qml.IsingYY(-2 * p[1], wires=wires)
    qml.IsingZZ(-2 * p[2], wires=wires)
    for k, wire in ((3, wires[0]), (6, wires[1])):
        qml.RZ(p[k], wires=wire)
        qml.RY(p[k + 1], wires=wire)
        qml.RZ(p[k + 2], wires=wire)


def _phase(angle: Tensor) -> Tensor:
    # torch.polar's gradient is wrong where its modulus is negative, so the modulus stays outside.
    return torch.complex(angle.cos(), angle.sin())


def _zyz(angles: Tensor) -> Tensor:
    """RZ(angles[2]) RY(angles[1]) RZ(angles[0]), (…, 3) -> (…, 2, 2) complex."""
    cos, sin = (angles[..., 1] / 2).cos(), (angles[..., 1] / 2).sin()
    plus, minus = (angles[..., 0] + angles[..., 2]) / 2, (angles[..., 2] - angles[..., 0]) / 2
    entries = [cos * _phase(-plus), -sin * _phase(-minus), sin * _phase(minus), cos * _phase(plus)]
    gate: Tensor = torch.stack(entries, dim=-1).unflatten(-1, (2, 2))
    return gate


def _cartan_su4_matrices(params: Tensor) -> Tensor:
    a, b, c = params[..., 0], params[..., 1], params[..., 2]
    # exp(i(a XX + b YY + c ZZ)): |00>, |11> get the phase c and mix by a - b; |01>, |10> get -c and mix by a + b.
    phase = torch.stack([_phase(c), _phase(-c)], dim=-1)
    angles = torch.stack([a - b, a + b], dim=-1)
    keep = (phase * angles.cos())[..., [0, 1, 1, 0]].unsqueeze(-2)
    swap = (1j * phase * angles.sin())[..., [0, 1, 1, 0]].unsqueeze(-2)
    left, right = _zyz(params[..., 3:6]), _zyz(params[..., 6:9])
    local = (left[..., :, None, :, None] * right[..., None, :, None, :]).flatten(-4, -3).flatten(-2, -1)
    return local * keep + local.flip(-1) * swap


# --- free: ADTN -------------------------------------------------------------------------------------------------


def _free_operations(p: Any, wires: Any) -> None:
    import pennylane as qml

    qml.QubitUnitary(qml.math.reshape(qml.math.stack([p[k] for k in range(16)]), (4, 4)), wires, unitary_check=False)


def _free_matrices(params: Tensor) -> Tensor:
    gates: Tensor = params.unflatten(-1, (4, 4))
    return gates


def _free_arrays(params: NumpyArray) -> tuple[NumpyArray, Pull]:
    return params.reshape(-1, 4, 4), lambda grad: grad.reshape(-1, 16)


def _free_start(fresh: Tensor, generator: torch.Generator | None) -> Tensor:
    return so4_matrices(_so4_start(fresh, generator)).flatten(1)


_ARRAYS = (
    (cartan_matrices, cartan_arrays),
    (so4_matrices, so4_arrays),
    (_su4_matrices, su4_arrays),
    (_cartan_su4_matrices, cartan_su4_arrays),
    (_free_matrices, _free_arrays),
    (orthogonal_matrices, stored_arrays),
)
CARTAN = GateFamily("cartan", 4, _cartan_operations, cartan_matrices, minimal=(0, 2, 3), start=_cartan_start)
SO4 = GateFamily("so4", 6, _so4_operations, so4_matrices, start=_so4_start)
SU4 = GateFamily("su4", 15, _su4_operations, _su4_matrices, real=False, start=_su4_start)
CARTAN_SU4 = GateFamily(
    "cartan-su4",
    9,
    _cartan_su4_operations,
    _cartan_su4_matrices,
    real=False,
    minimal=(0, 2, 3, 4, 5, 7, 8),
    edge=(0, 1, 3, 4, 5, 6, 7, 8),
)
FREE = GateFamily(
    "free",
    16,
    _free_operations,
    _free_matrices,
    unitary=False,
    start=_free_start,
    identity=tuple(float(k % 5 == 0) for k in range(16)),
)
# O(8) on three qubits to O(64) on six.
WIDE = tuple(
    GateFamily(
        f"o{2**sites}",
        4**sites,
        orthogonal_operations,
        orthogonal_matrices,
        start=orthogonal_start,
        identity=tuple(float(k % (2**sites + 1) == 0) for k in range(4**sites)),
        sites=sites,
        columns=True,
    )
    for sites in (3, 4, 5, 6)
)
FAMILIES = {family.name: family for family in (CARTAN, SO4, CARTAN_SU4, SU4, FREE, *WIDE)}


def find_family(gate: str | GateFamily) -> GateFamily:
    """The family of this name, or the family itself.

    Raises:
        ValueError: If no built-in family has this name.
    """
    if isinstance(gate, GateFamily):
        return gate
    if not isinstance(gate, str) or gate not in FAMILIES:
        raise ValueError(
            f"unknown gate {gate!r}: use one of {', '.join(FAMILIES)}, or a family made by adqc.gate_family"
        )
    return FAMILIES[gate]
