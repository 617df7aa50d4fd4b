"""Gate families: PennyLane's own matrices, counts, starts, and families made by users."""

from __future__ import annotations

import copy
import math
import pickle

import pennylane as qml
import pytest
import torch

from adqc import arrays
from adqc.brickwall import BrickWall
from adqc.cartan import cartan_matrices
from adqc.config import Circuit
from adqc.gates import (
    FAMILIES,
    GateFamily,
    find_family,
    special_unitary_logarithm,
)
from adqc.pauli import ODD_Y, PAULI_WORDS, pauli
from adqc.special_orthogonal import so4_arrays, so4_matrices
from adqc.testing import RouteSuite
from adqc.user_gates import gate_family, pennylane_matrices

ALL = list(FAMILIES.values())
NAMES = list(FAMILIES)


def numbers(family: GateFamily, count: int = 6) -> torch.Tensor:
    return torch.randn(count, family.parameters, dtype=torch.float64) * 2


def eye(family: GateFamily, dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    return torch.eye(2**family.sites, dtype=dtype)


# --- the definition -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ALL, ids=NAMES)
def test_matrices_are_those_that_pennylane_makes(family):
    params, wires = numbers(family), list(range(family.sites))
    for row, gate in zip(params, family.matrices(params), strict=True):
        expected = qml.matrix(lambda p=row: family.operations(p, wires), wire_order=wires)()
        torch.testing.assert_close(gate.to(torch.complex128), torch.as_tensor(expected).to(torch.complex128))
    torch.testing.assert_close(
        family.matrices(params).to(torch.complex128),
        pennylane_matrices(family.operations, params, sites=family.sites),
        rtol=0,
        atol=1e-13,
    )


@pytest.mark.parametrize("family", ALL, ids=NAMES)
def test_gradients_are_those_that_pennylane_makes(family):
    params = numbers(family).requires_grad_()
    gates, expected_gates = family.matrices(params), pennylane_matrices(family.operations, params, sites=family.sites)
    seed = torch.randn(gates.shape, dtype=torch.complex128)
    found, expected = (
        torch.autograd.grad((each.to(torch.complex128) * seed).real.sum(), params)[0]
        for each in (gates, expected_gates)
    )
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", ALL, ids=NAMES)
def test_gates_are_what_the_family_promises(family):
    gates = family.matrices(numbers(family))
    assert gates.is_complex() is not family.real
    assert torch.allclose(gates @ gates.mH, eye(family, gates.dtype).expand_as(gates)) is family.unitary
    if family.unitary:
        determinants = torch.linalg.det(gates)
        # Orthogonal gates given by their columns have either sign.
        determinants = determinants.abs() if family.columns else determinants
        torch.testing.assert_close(determinants, torch.ones_like(determinants))


@pytest.mark.parametrize("family", ALL, ids=NAMES)
def test_any_batch_and_any_real_type(family):
    for shape in ((), (0,), (1,), (2, 3)):
        params = torch.randn(*shape, family.parameters, dtype=torch.float64)
        gates = family.matrices(params)
        assert gates.shape == (*shape, *eye(family).shape)
        low = family.matrices(params.float())
        assert low.real.dtype == torch.float32
        # A wide random matrix has columns that depend on each other nearly.
        torch.testing.assert_close(low.to(gates.dtype), gates, rtol=0, atol=1e-3 if family.columns else 1e-5)


def test_so4_is_special_unitary_with_the_words_that_hold_an_odd_number_of_y():
    assert tuple(PAULI_WORDS[k] for k in ODD_Y) == ("IY", "XY", "YI", "YX", "YZ", "ZY")
    params = numbers(FAMILIES["so4"])
    theta = torch.zeros(len(params), 15, dtype=torch.float64)
    theta[:, list(ODD_Y)] = params
    expected = qml.SpecialUnitary.compute_matrix(theta, 2)
    torch.testing.assert_close(FAMILIES["so4"].matrices(params).to(expected.dtype), expected)
    theta = numbers(FAMILIES["su4"])
    torch.testing.assert_close(FAMILIES["su4"].matrices(theta), qml.SpecialUnitary.compute_matrix(theta, 2))


@pytest.mark.parametrize("scale", [0, 1e-9, 5e-3, 0.5, 1, 4])
def test_so4_and_its_derivatives_at_every_angle(scale):
    generator = torch.Generator().manual_seed(3)
    params = scale * torch.randn(6, 6, dtype=torch.float64, generator=generator)
    weights = torch.randn(6, 4, 4, dtype=torch.float64, generator=generator)
    words = torch.stack([(1j * pauli(PAULI_WORDS[k])).real for k in ODD_Y])
    params.requires_grad_()
    gates, expected = so4_matrices(params), torch.linalg.matrix_exp(torch.einsum("gk,kij->gij", params, words))
    torch.testing.assert_close(gates, expected, rtol=0, atol=1e-13)
    due, grad = (torch.autograd.grad((found * weights).sum(), params)[0] for found in (expected, gates))
    torch.testing.assert_close(grad, due, rtol=0, atol=1e-12)
    torch.autograd.gradgradcheck(so4_matrices, params)
    found, pull = so4_arrays(params.detach().numpy())
    torch.testing.assert_close(torch.from_numpy(found), expected.detach(), rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.from_numpy(pull(weights.numpy())), due, rtol=0, atol=1e-12)
    found, pull = so4_arrays(params.detach().float().numpy())
    torch.testing.assert_close(torch.from_numpy(pull(weights.float().numpy())).double(), due, rtol=0, atol=2e-5)


@pytest.mark.parametrize("small", [0, arrays.SMALL])
def test_derivatives_of_cartan(small, monkeypatch):
    # In torch, and in numpy.
    monkeypatch.setattr(arrays, "SMALL", small)
    params = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(cartan_matrices, params)
    torch.autograd.gradgradcheck(cartan_matrices, params)
    due = torch.func.vmap(cartan_matrices)(params)
    for found in (cartan_matrices(params), cartan_matrices(params.detach())):
        torch.testing.assert_close(found, due, rtol=0, atol=1e-15)


def test_cartan_is_the_published_product():
    a, b, c, d = 0.3, -0.7, 1.1, 0.4
    (gate,) = FAMILIES["cartan"].matrices(torch.tensor([[a, b, c, d]], dtype=torch.float64))
    words = [torch.as_tensor(qml.matrix(qml.pauli.string_to_pauli_word(w), wire_order=[0, 1])) for w in ("XY", "YX")]
    middle = torch.linalg.matrix_exp(1j * (a * words[0] + b * words[1]))
    local = torch.kron(*(torch.as_tensor(qml.RY(angle, 0).matrix()) for angle in (c, d)))
    torch.testing.assert_close(gate.to(torch.complex128), local.to(torch.complex128) @ middle)


@pytest.mark.parametrize(
    ("name", "inner", "edge", "fresh"),
    [("cartan", 4, 4, 3), ("so4", 6, 6, 6), ("cartan-su4", 9, 8, 7), ("su4", 15, 15, 15), ("free", 16, 16, 16)],
)
def test_numbers_stored(name, inner, edge, fresh):
    family = FAMILIES[name]
    assert len(family.stored((False, False))) == inner == family.parameters
    assert len(family.stored((True, False))) == len(family.stored((False, True))) == edge
    assert len(family.stored((True, True))) == fresh


@pytest.mark.parametrize("name", ["cartan", "cartan-su4"])
@pytest.mark.parametrize(("fresh", "columns"), [((True, True), [0]), ((False, True), [0, 2]), ((True, False), [0, 1])])
def test_every_number_stored_counts(name, fresh, columns):
    family = FAMILIES[name]
    kept = list(family.stored(fresh))
    params = numbers(family, 1)[0]
    params[[k for k in range(family.parameters) if k not in kept]] = 0

    def isometry(p):
        return torch.view_as_real(family.matrices(p).to(torch.complex128)[:, columns]).flatten()

    jacobian = torch.autograd.functional.jacobian(isometry, params)
    rank = torch.linalg.matrix_rank(jacobian[:, kept], rtol=1e-9).item()
    assert rank == len(kept)
    if all(fresh):
        # What is not stored would not reach any new state of the two.
        assert torch.linalg.matrix_rank(jacobian, rtol=1e-9).item() == rank


# --- starts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ALL, ids=NAMES)
def test_near_identity_is_near_the_identity(family):
    exact = family.matrices(family.near_identity(3, 0.0)).to(torch.complex128)
    torch.testing.assert_close(exact, eye(family).expand_as(exact))
    near = family.matrices(family.near_identity(100, 0.01)).to(torch.complex128)
    distance = (near - eye(family)).abs().amax((1, 2))
    assert distance.min() > 1e-4
    assert distance.max() < 0.2


@pytest.mark.parametrize("family", ALL, ids=NAMES)
def test_random_parameters_follow_the_generator(family):
    fresh = torch.tensor([[True, True], [False, True], [False, False]])[:, [0] * (family.sites - 1) + [1]]
    one, same, other = (family.random(fresh, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert one.dtype == torch.float64
    assert one.shape == (3, family.parameters)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", ["so4", "free", "su4"])
def test_haar_starts_have_the_moments_of_the_haar_measure(name):
    family = FAMILIES[name]
    count = 20000
    gates = family.matrices(family.random(torch.zeros(count, 2, dtype=torch.bool), torch.Generator().manual_seed(0)))
    gates = gates.to(torch.complex128)
    trace = gates.diagonal(dim1=1, dim2=2).sum(-1)
    # Standard errors are about 1/sqrt(20000) = 0.007; E|tr|^4 is 2 on SU(4), 4 on SO(4) = SU(2)xSU(2)/±1.
    assert abs(trace.mean()) < 0.03
    assert abs(trace.abs().square().mean() - 1) < 0.05
    assert abs(trace.abs().pow(4).mean() - (2 if name == "su4" else 4)) < 0.4
    # First two columns: uniform on the sphere of 4 (or 8) real dimensions, and nothing left of the identity.
    entries = gates.abs().square().mean(0)
    assert (entries - 1 / 4).abs().max() < 0.01
    fourth = gates.abs().pow(4).mean(0)
    assert (fourth - (2 / (4 * 5) if name == "su4" else 3 / (4 * 6))).abs().max() < 0.01


def test_cartan_starts_are_haar_up_to_what_the_wires_absorb():
    family = FAMILIES["cartan"]
    generator = torch.Generator().manual_seed(0)
    count = 20000
    inner = family.matrices(family.random(torch.zeros(count, 2, dtype=torch.bool), generator))
    # Random rotations on the incoming wires make a Haar-random gate of it.
    before = family.matrices(torch.cat([torch.zeros(count, 2), torch.rand(count, 2) * 4 * math.pi], 1).double())
    haar = inner @ before
    trace = haar.diagonal(dim1=1, dim2=2).sum(-1)
    assert abs(trace.square().mean() - 1) < 0.05
    assert abs(trace.pow(4).mean() - 4) < 0.4
    assert (haar.pow(4).mean(0) - 3 / 24).abs().max() < 0.01
    # On |00> the state itself is uniform on the sphere: E x^4 = 3/(4·6), and its determinant (concurrence) has
    # second moment E (2(x0 x3 - x1 x2))² = 4·2/(4·6).
    first = family.matrices(family.random(torch.ones(count, 2, dtype=torch.bool), generator))[:, :, 0]
    assert (first.square().mean(0) - 1 / 4).abs().max() < 0.01
    assert (first.pow(4).mean(0) - 3 / 24).abs().max() < 0.01
    concurrence = 2 * (first[:, 0] * first[:, 3] - first[:, 1] * first[:, 2])
    assert abs(concurrence.square().mean() - 1 / 3) < 0.01
    assert abs(concurrence.pow(4).mean() - 1 / 5) < 0.01


@pytest.mark.parametrize("angles", ["random", "zero", "swap", "degenerate"])
def test_special_unitary_logarithm_inverts_the_exponential(angles):
    if angles == "random":
        gates = FAMILIES["su4"].matrices(torch.randn(50, 15, dtype=torch.float64) * 3)
    elif angles == "zero":
        gates = torch.eye(4, dtype=torch.complex128)[None]
    elif angles == "swap":
        gates = torch.eye(4, dtype=torch.complex128)[[0, 2, 1, 3]][None]
    else:
        q, _ = torch.linalg.qr(torch.randn(50, 4, 4, dtype=torch.complex128))
        gates = q @ torch.diag(torch.tensor([1, 1, -1, -1], dtype=torch.complex128)) @ q.mH
    back = FAMILIES["su4"].matrices(special_unitary_logarithm(gates))
    overlap = (back.mH @ gates).diagonal(dim1=1, dim2=2).sum(-1).abs()
    torch.testing.assert_close(overlap, torch.full_like(overlap, 4), rtol=0, atol=1e-12)


# --- families made by users ---------------------------------------------------------------------------------------


def _ry_cz(p, wires):
    qml.RY(p[0], wires[0])
    qml.RY(p[1], wires[1])
    qml.CZ(wires)


def _xx_rz(p, wires):
    qml.IsingXX(p[0], wires)
    qml.RZ(p[1], wires[0])


def _template(p, wires):
    qml.SpecialUnitary(p, wires=wires)


def _unbatchable(p, wires):
    qml.QubitUnitary(_rotation(p[0]), wires)


def _rotation(angle):
    # With a batch of four angles this is a matrix too: the wrong one.
    cos, sin = torch.cos(angle), torch.sin(angle)
    eye, j = torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)[[1, 0, 3, 2]]
    return cos * eye + sin * j * torch.tensor([[-1.0], [1], [-1], [1]], dtype=torch.float64)


def _summing(p, wires):
    # Takes a batch without complaint, and makes one gate of it.
    qml.RY(p[0].sum(), wires[1])
    qml.CNOT(wires)


OWN = {
    "summing": (1, _summing, True, False),
    "ry-cz": (2, _ry_cz, True, True),
    "xx-rz": (2, _xx_rz, False, True),
    "special": (15, _template, False, False),
    "unbatchable": (1, _unbatchable, True, False),
}


@pytest.fixture(params=OWN, scope="module")
def own(request):
    count, operations, _, _ = OWN[request.param]
    return gate_family(request.param, count, operations)


def test_what_is_found_out_about_a_family(own):
    count, _, real, batched = OWN[own.name]
    assert (own.parameters, own.real, own.unitary, own.matrices.batched) == (count, real, True, batched)


def test_own_matrices_for_every_number_of_gates(own):
    for count in (0, 1, 2, 4, own.parameters):
        params = numbers(own, count)
        found = own.matrices(params)
        assert found.shape == (count, 4, 4)
        assert found.is_complex() is not own.real
        for row, gate in zip(params, found, strict=True):
            expected = qml.matrix(lambda p=row: own.operations(p, [0, 1]), wire_order=[0, 1])()
            torch.testing.assert_close(gate.to(torch.complex128), torch.as_tensor(expected).to(torch.complex128))
    assert own.matrices(numbers(own).float()).real.dtype == torch.float32


class TestOwnFamilies(RouteSuite):
    """Everything works with them: as many gates as the fixture's shape makes meet 4 and 15 as well."""

    @pytest.fixture(params=[((4, 4), 2), ((3, 5), 5), ((2,), 1)], ids=str)
    def wall(self, own, request):
        shape, depth = request.param
        return BrickWall(shape, Circuit(depth=depth, gate=own))


def test_own_families_survive_deepcopy_and_pickle(own):
    wall = BrickWall((4, 3), Circuit(depth=2, gate=own))
    for twin in (copy.deepcopy(wall), pickle.loads(pickle.dumps(wall))):
        assert twin.family == wall.family
        torch.testing.assert_close(twin(), wall())
        assert torch.equal(BrickWall((4, 3), Circuit(depth=2, gate=own), start=twin).gates, wall.gates)


def _no_wires(p, wires):
    qml.RY(p[0], 7)


def _too_many(p, wires):
    qml.RY(p[0], wires[0])
    qml.RY(p[2], wires[1])


def _not_unitary(p, wires):
    qml.RY(p[0], wires[0])
    qml.QubitUnitary(torch.diag(torch.tensor([1.0, 1, 1, 2])), wires, unitary_check=False)


def _cut_off(p, wires):
    qml.RY(p[0].detach(), wires[0])


def _raises(p, wires):
    raise RuntimeError("first line\nsecond line")


@pytest.mark.parametrize(
    ("name", "count", "operations", "message"),
    [
        ("so4", 2, _ry_cz, "'so4' is built in: choose another name"),
        ("", 2, _ry_cz, "needs a name, got ''"),
        ("mine", 0, _ry_cz, "at least 1 parameters, got 0"),
        ("mine", 2.0, _ry_cz, "at least 1 parameters, got 2.0"),
        ("mine", 1, _no_wires, "must act on the two wires given"),
        ("mine", 2, _too_many, "with 2 parameters"),
        ("mine", 1, _not_unitary, "'mine' is not unitary"),
        ("mine", 1, _cut_off, "no gradient .* without float"),
        ("mine", 1, _raises, "first line$"),
        ("mine", 1, None, "must act on the two wires given"),
    ],
)
def test_wrong_families_get_one_sentence(name, count, operations, message):
    with pytest.raises(ValueError, match=message) as caught:
        gate_family(name, count, operations)
    assert "\n" not in str(caught.value)


def test_find_family():
    assert find_family("so4") is FAMILIES["so4"]
    assert find_family(FAMILIES["so4"]) is FAMILIES["so4"]
    with pytest.raises(ValueError, match=r"unknown gate 'so5': use one of cartan, .*, free, o8, .*, o64, or a fam"):
        find_family("so5")


def test_repr_names_the_family():
    assert repr(FAMILIES["cartan"]) == "GateFamily('cartan', parameters=4, unitary=True, real=True)"
