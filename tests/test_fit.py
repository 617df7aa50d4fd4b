import math

import pytest
import torch

from adqc.brickwall import BrickWall
from adqc.config import Circuit, Fit
from adqc.engine.statevector import product_state
from adqc.fit import fit_, settle_
from adqc.geometry import Wiring, wire
from adqc.sweeps import Goal, Polar, act, balance, environment, norm_metric, polar
from adqc.user_gates import gate_family

SWEPT = ("cartan", "so4", "cartan-su4", "su4", "free")


def make_wall(shape, seed=0, dtype=torch.float64, **config):
    return BrickWall(shape, Circuit(**config), generator=torch.Generator().manual_seed(seed), dtype=dtype)


def product_state_of_matrices(sites, bond, seed=0):
    """A random matrix product state of norm 1, (2^Q,)."""
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(1, bond, generator=generator, dtype=torch.float64)
    for _ in range(sites):
        tensor = torch.randn(bond, 2, bond, generator=generator, dtype=torch.float64)
        state = torch.einsum("xa,aib->xib", state, tensor).reshape(-1, bond)
        state = state / state.norm()
    state = state @ torch.randn(bond, generator=generator, dtype=torch.float64)
    return state / state.norm()


def weight_like(rows, columns, seed=0):
    """A matrix with a decaying spectrum, as trained weights have."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(n, columns, generator=generator, dtype=torch.float64))[0] for n in (rows, columns)
    )
    return 0.1 * (left / torch.arange(1, columns + 1)) @ right.T


def relative_error(wall, target):
    return ((target - wall("gates").detach()).square().sum() / target.square().sum()).item()


# --- sweeps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grow", [True, False])
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("gate", SWEPT)
@pytest.mark.parametrize("shape", [(16, 8), (5, 7, 3), (30,), (4,)])
def test_sweeps_never_get_worse(shape, gate, wiring, grow):
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(shape, generator=generator, dtype=torch.float64)
    wall = make_wall(shape, gate=gate, depth=3, wiring=wiring)
    before = settle_(wall, target)
    result = fit_(wall, target, fit=Fit(sweeps=12, tolerance=0, grow=grow))
    assert result.history[0] == pytest.approx(before)
    assert result.sweeps == len(result.history) - 1 <= 12
    for earlier, later in zip(result.history[not grow :], result.history[1 + (not grow) :], strict=False):
        assert later <= earlier
    assert result.relative_error < before
    assert result.relative_error == pytest.approx(result.history[-1], rel=1e-9, abs=1e-12)
    assert result.relative_error == pytest.approx(relative_error(wall, target), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("gate", SWEPT)
def test_scale_is_the_best_one(gate):
    target = weight_like(12, 9)
    wall = make_wall((12, 9), gate=gate, depth=2)
    fit_(wall, target, fit=Fit(sweeps=3))
    shape = wall().detach() / wall.scale.detach()
    best = torch.sum(shape * target) / torch.sum(shape * shape)
    assert wall.scale.item() == pytest.approx(best.item(), rel=1e-10)


def test_one_staircase_sweep_is_exact_on_bond_2():
    target = product_state_of_matrices(12, 2).view(64, 64)
    for gate in ("cartan", "so4", "free"):
        wall = make_wall((64, 64), gate=gate, depth=1, wiring="staircase", layout="rows-first")
        result = fit_(wall, target)
        # Least squares takes slightly shortened steps.
        assert result.relative_error < (1e-9 if gate == "free" else 1e-24)
        assert relative_error(wall, target) == pytest.approx(result.relative_error, rel=1e-3, abs=1e-28)


def test_grown_circuits_reach_what_random_ones_miss():
    # From random starts four sweeps of the staircase fit a state of bond 2 worse than one sweep does.
    target = product_state_of_matrices(10, 2).view(32, 32)
    errors = {}
    for grow in (True, False):
        wall = make_wall((32, 32), depth=4, wiring="staircase", layout="rows-first")
        errors[grow] = fit_(wall, target, fit=Fit(sweeps=30, grow=grow)).relative_error
    assert errors[True] < 1e-20
    assert errors[False] > 1e-6


def test_brick_wall_on_bond_4():
    target = product_state_of_matrices(12, 4).view(64, 64)
    wall = make_wall((64, 64), depth=12, layout="rows-first")
    assert fit_(wall, target).relative_error < 0.025


@pytest.mark.parametrize("gate", ["cartan", "cartan-su4", "free"])
def test_growth_costs_little_where_it_does_not_help(gate):
    for target in (weight_like(32, 16), torch.randn(32, 16, dtype=torch.float64)):
        captured = {}
        for grow in (True, False):
            found = []
            for seed in range(3):
                wall = make_wall((32, 16), seed=seed, gate=gate, depth=4)
                found.append(1 - fit_(wall, target, fit=Fit(sweeps=20, grow=grow)).relative_error)
            captured[grow] = sum(found)
        assert captured[True] > 0.85 * captured[False]


def test_a_wall_that_fits_is_kept():
    target = make_wall((16, 16), seed=3, depth=5)().detach()
    wall = make_wall((16, 16), seed=3, depth=5)
    result = fit_(wall, target, fit=Fit(sweeps=8))
    assert result.relative_error < 1e-24
    first = fit_(wall, weight_like(16, 16), fit=Fit(sweeps=20)).relative_error
    assert fit_(wall, weight_like(16, 16), fit=Fit(sweeps=20)).relative_error <= first


def test_crop_is_left_out_of_the_error():
    # 3 x 3 of 4 x 4 entries: any two-qubit state can be reached there, so the fit must become exact.
    target = torch.outer(torch.tensor([1.0, 2, -1]), torch.tensor([3.0, 1, 2])).double()
    wall = make_wall((3, 3), depth=6)
    result = fit_(wall, target, fit=Fit(sweeps=400, tolerance=0))
    assert result.relative_error < 1e-6


def test_negative_scale_and_tiny_and_huge_targets():
    for factor in (-1.0, 1e-30, 1e30, -1e-200):
        wall = make_wall((8, 8), depth=3)
        result = fit_(wall, factor * weight_like(8, 8), fit=Fit(sweeps=10))
        assert result.relative_error < 0.9
        rest = wall().detach() / factor - weight_like(8, 8)
        error = (rest.square().sum() / weight_like(8, 8).square().sum()).item()
        assert error == pytest.approx(result.relative_error, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gate", ["cartan", "free", "su4"])
def test_low_precision_walls_never_end_worse(gate, dtype):
    target = weight_like(16, 12).to(torch.float32)
    wall = make_wall((16, 12), gate=gate, depth=4, dtype=dtype)
    result = fit_(wall, target, fit=Fit(sweeps=10))
    assert result.relative_error <= result.history[0]
    assert result.relative_error == pytest.approx(result.history[-1], abs=1e-5 if dtype == torch.float32 else 0.05)


def test_free_gates_stay_small():
    # Steps in directions that the state hardly determines would blow gates up until single precision loses the tensor.
    wall = make_wall((32, 16), gate="free", depth=8, layout="rows-first", dtype=torch.float32)
    result = fit_(wall, weight_like(32, 16), fit=Fit(sweeps=20, tolerance=0))
    assert wall.gates.abs().max() < 20
    assert result.relative_error == pytest.approx(result.history[-1], abs=1e-4)


@pytest.mark.parametrize("shape", [(2,), (1,), (1, 1), (3,), (2, 4), (2, 2, 2)])
@pytest.mark.parametrize("gate", SWEPT)
def test_small_and_odd_walls(shape, gate):
    generator = torch.Generator().manual_seed(2)
    target = torch.randn(shape, generator=generator, dtype=torch.float64)
    wall = make_wall(shape, gate=gate, depth=1)
    result = fit_(wall, target, fit=Fit(sweeps=30))
    assert 0 <= result.relative_error <= result.history[0]
    if shape == (2,) and gate == "free":
        # No gate, but a product state of its own.
        assert result.relative_error < 1e-24


def test_wires_without_gates_are_fitted_for_free():
    vectors = torch.randn(3, 2, dtype=torch.float64)
    target = torch.einsum("a,b,c->abc", *vectors)
    wall = make_wall((2, 2, 2), gate="free", depth=1)
    assert wall.wiring.wires[2] == ()
    assert fit_(wall, target, fit=Fit(sweeps=5)).relative_error < 1e-18


# --- optimisers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
@pytest.mark.parametrize("gate", ["cartan", "su4", "free"])
def test_optimisers_improve_and_keep_the_best(method, gate):
    target = weight_like(16, 12)
    wall = make_wall((16, 12), gate=gate, depth=3)
    result = fit_(wall, target, fit=Fit(sweeps=60, method=method))
    assert result.relative_error == pytest.approx(min(result.history), rel=1e-9)
    assert result.relative_error < 0.92
    assert result.relative_error == pytest.approx(relative_error(wall, target), rel=1e-9)
    assert all(parameter.requires_grad for parameter in wall.parameters())


def test_families_of_users_are_fitted_by_optimisers():
    import pennylane as qml

    family = gate_family("ry-cz", 2, lambda p, wires: [qml.RY(p[0], wires[0]), qml.RY(p[1], wires[1]), qml.CZ(wires)])
    wall = make_wall((4, 4), gate=family, depth=2)
    before = wall.gates.detach().clone()
    with pytest.raises(ValueError, match=r"gate family 'ry-cz' has no inverse .*method='adam'"):
        fit_(wall, weight_like(4, 4))
    assert torch.equal(wall.gates, before)
    assert fit_(wall, weight_like(4, 4), fit=Fit(sweeps=10, method="adam")).relative_error < 0.99


# --- what goes in and out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["polar", "adam", "lbfgs"])
def test_progress_is_told(method):
    calls = []
    wall = make_wall((8, 8), depth=3)
    result = fit_(wall, weight_like(8, 8), fit=Fit(sweeps=6, method=method), progress=lambda *step: calls.append(step))
    assert [step for step, _, _ in calls] == list(range(1, result.sweeps + 1))
    assert all(total == 6 for _, total, _ in calls)
    assert [error for _, _, error in calls] == list(result.history[1:])


@pytest.mark.parametrize("method", ["polar", "adam", "lbfgs"])
def test_zero_target(method):
    wall = make_wall((4, 6), depth=2)
    result = fit_(wall, torch.zeros(4, 6), fit=Fit(method=method))
    assert result.relative_error == 0
    assert wall.scale.item() == 0
    assert not wall().any()


def test_no_sweeps_set_the_scale_only():
    wall = make_wall((8, 8), depth=3)
    gates = wall.gates.detach().clone()
    result = fit_(wall, weight_like(8, 8), fit=Fit(sweeps=0))
    assert torch.equal(wall.gates, gates)
    assert result.history == (result.relative_error,)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (torch.zeros(4, 5), r"stands for a tensor of shape \(4, 6\), but the target has shape \(4, 5\)"),
        (torch.full((4, 6), math.nan), "24 entries that are NaN or infinite"),
        (torch.full((4, 6), -math.inf), "24 entries that are NaN or infinite"),
        (torch.zeros(4, 6, dtype=torch.int64), "got dtype torch.int64"),
        (torch.zeros(4, 6, dtype=torch.complex64), "got dtype torch.complex64"),
    ],
)
def test_bad_targets_leave_the_wall_unchanged(target, sentence):
    wall = make_wall((4, 6), depth=2)
    before = {name: value.clone() for name, value in wall.state_dict().items()}
    with pytest.raises(ValueError, match=sentence):
        fit_(wall, target)
    assert all(torch.equal(value, before[name]) for name, value in wall.state_dict().items())


def test_a_fit_that_is_stopped_leaves_the_wall_unchanged():
    wall = make_wall((8, 8), depth=3)
    before = {name: value.clone() for name, value in wall.state_dict().items()}

    def stop(step, total, error):
        raise KeyboardInterrupt

    for method in ("polar", "adam"):
        with pytest.raises(KeyboardInterrupt):
            fit_(wall, weight_like(8, 8), fit=Fit(method=method), progress=stop)
        assert all(torch.equal(value, before[name]) for name, value in wall.state_dict().items())


def test_fits_under_no_grad_and_to_parameters():
    target = torch.nn.Parameter(weight_like(8, 8))
    for method in ("polar", "adam", "lbfgs"):
        wall = make_wall((8, 8), depth=3)
        with torch.no_grad():
            assert fit_(wall, target, fit=Fit(sweeps=5, method=method)).relative_error < 0.99
    assert target.grad is None


# --- the steps --------------------------------------------------------------------------------------------------


def oracle(gates, wiring, state):
    for gate, sites in zip(gates, wiring.gates, strict=True):
        left, right = (torch.eye(2**n, dtype=gate.dtype) for n in (sites[0], wiring.sites - sites[1] - 1))
        state = torch.kron(torch.kron(left, gate.contiguous()), right) @ state
    return state


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_environment_is_the_overlap_of_a_gate(dtype):
    aim, state = torch.randn(2, 2**7, dtype=dtype)
    for site in range(6):
        gate = torch.randn(4, 4, dtype=dtype)
        moved = act(gate, state, site)
        assert torch.allclose(moved, oracle([gate], Wiring(7, ((site, site + 1),), (1,)), state))
        overlap = torch.trace(environment(aim, state, site).mH @ gate)
        assert torch.allclose(overlap, torch.vdot(aim, moved))


def test_polar_factor_beats_all_others():
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float64, torch.complex128):
        environments = torch.randn(20, 4, 4, generator=generator, dtype=dtype)
        best = polar(environments)
        reached = torch.einsum("nij,nij->n", environments.conj(), best).real
        others, _ = torch.linalg.qr(torch.randn(500, 4, 4, generator=generator, dtype=dtype))
        if dtype == torch.float64:
            assert torch.allclose(torch.linalg.det(best), torch.ones(20, dtype=dtype))
            others[:, :, 0] *= torch.linalg.det(others).sign()[:, None]
        rivals = torch.einsum("nij,mij->nm", environments.conj(), others).real
        assert (rivals <= reached[:, None]).all()


@pytest.mark.parametrize(("kind", "sites", "depth"), [("brick-wall", 5, 3), ("staircase", 4, 2), ("brick-wall", 4, 8)])
def test_norm_metric_is_the_gram_matrix(kind, sites, depth, monkeypatch):
    import adqc.sweeps

    wiring = wire(kind, sites, depth)
    gates = list(torch.randn(len(wiring.gates), 4, 4, dtype=torch.float64))
    start = torch.randn(sites, 2, dtype=torch.float64)
    for place in range(len(gates)):
        before = product_state(start)
        for gate, pair in zip(gates[:place], wiring.gates[:place], strict=True):
            before = act(gate, before, pair[0])

        def behind(gate, place=place, before=before):
            state = act(gate, before, wiring.gates[place][0])
            for later, pair in zip(gates[place + 1 :], wiring.gates[place + 1 :], strict=True):
                state = act(later, state, pair[0])
            return state

        columns = torch.func.jacrev(behind)(gates[place]).reshape(-1, 16)
        for network in (True, False):
            with monkeypatch.context() as patch:
                if not network:
                    patch.setattr(adqc.sweeps, "_norm_contraction", lambda *_: None)
                metric = norm_metric(gates, wiring, start, place, before)
            assert torch.allclose(metric, columns.T @ columns)


def test_balance_keeps_the_state_and_shrinks_the_gates():
    wiring = wire("brick-wall", 6, 4)
    gates = torch.randn(len(wiring.gates), 4, 4, dtype=torch.float64)
    gates = gates * 10.0 ** torch.linspace(-3, 3, len(gates), dtype=torch.float64)[:, None, None]
    state = product_state(torch.randn(6, 2, dtype=torch.float64))
    balanced = balance(list(gates), wiring)
    assert torch.allclose(oracle(balanced, wiring, state), oracle(gates, wiring, state), rtol=1e-9)
    assert torch.stack(balanced).square().sum() < 0.01 * gates.square().sum()


def test_a_polar_sweep_leaves_inactive_gates_alone():
    wiring = wire("brick-wall", 5, 3)
    gates = [torch.eye(4, dtype=torch.float64)] * len(wiring.gates)
    sweeper = Polar(gates, wiring, Goal(product_state_of_matrices(5, 3)))
    active = range(2, len(gates))
    before = sweeper.look(active)
    assert sweeper.sweep(active) < before
    assert all(sweeper.gates[k] is gates[k] for k in (0, 1))
    assert sweeper.gates[3] is not gates[3]
