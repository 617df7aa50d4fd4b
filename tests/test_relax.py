"""Between unitary and free gates: the same function there and back, the nearest rotation, the penalty."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import adqc
from adqc import BrickWall, Circuit
from adqc.compress import compress_
from adqc.relax import project_, relax_, unitarity

F64 = torch.float64


def wall(shape: tuple[int, ...] = (12, 20), **options: object) -> BrickWall:
    return BrickWall(shape, Circuit(**options), dtype=F64, std=0.3, generator=torch.Generator().manual_seed(1))  # type: ignore[arg-type]


def gates_of(one: BrickWall) -> Tensor:
    return one.matrices().detach()


@pytest.mark.parametrize("gate", ["cartan", "so4"])
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("shape", [(1,), (3,), (4,), (5, 6), (3, 2, 3, 3)])
def test_relax_and_project_keep_the_function(gate: str, wiring: str, depth: int, shape: tuple[int, ...]) -> None:
    one = wall(shape, gate=gate, wiring=wiring, depth=depth)
    expected = one(route="gates").detach()
    assert relax_(one) is one
    assert one.config.gate == "free"
    assert one.state is not None
    torch.testing.assert_close(one(route="gates"), expected, rtol=0, atol=1e-12)
    assert unitarity(one).item() < 1e-20
    project_(one, gate=gate)
    assert one.config.gate == gate
    assert one.state is None
    torch.testing.assert_close(one(route="gates"), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("sites", [2, 3, 6])
def test_lengths_and_the_product_state_go_into_scale_and_gates(depth: int, wiring: str, sites: int) -> None:
    """A free wall whose gates are rotations times numbers, begun in any product state, is projected exactly."""
    one = wall((2**sites,), depth=depth, wiring=wiring)
    relax_(one)
    touched = torch.tensor([bool(gates) for gates in one.wiring.wires])
    with torch.no_grad():
        one.gates.mul_((torch.rand(len(one.wiring.gates), 1, dtype=F64) + 0.5).expand(-1, 16).flatten())
        one.state.copy_(torch.where(touched[:, None], torch.randn(sites, 2, dtype=F64), torch.tensor([-0.7, 0.0])))
    expected = one().detach()
    project_(one)
    torch.testing.assert_close(one(), expected, rtol=1e-10, atol=1e-12)


def test_columns_that_meet_no_state_do_not_count() -> None:
    """With the start |00> only the first column of a first gate matters, so the others may be anything."""
    one = wall((4,), depth=1)
    relax_(one)
    expected = one().detach()
    with torch.no_grad():
        one.gates.view(4, 4)[:, 1:] = torch.randn(4, 3, dtype=F64)
    project_(one)
    torch.testing.assert_close(one(), expected)


def test_a_gate_becomes_the_nearest_rotation() -> None:
    from adqc.relax import _nearest_rotation

    generator = torch.Generator().manual_seed(3)
    for trial in range(20):
        gate = torch.randn(4, 4, generator=generator, dtype=F64)
        if trial % 2:
            gate[0] *= -1
        rotation, factor = _nearest_rotation(gate, (False, False))
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(4, dtype=F64))
        assert torch.linalg.det(rotation).item() == pytest.approx(1)
        distance = (gate - factor * rotation).norm()
        for spread in (1e-3, 0.1, 3.0):
            noise = torch.randn(4, 4, generator=generator, dtype=F64) * spread
            other = rotation @ torch.linalg.matrix_exp(noise - noise.T)
            best = (other * gate).sum() / 4
            assert distance <= (gate - best * other).norm() + 1e-12


@pytest.mark.parametrize("fresh", [(True, True), (True, False), (False, True)])
def test_columns_that_meet_a_state_become_the_nearest_isometry(fresh: tuple[bool, bool]) -> None:
    from adqc.relax import _nearest_rotation

    used = [k for k in range(4) if not (fresh[0] and k // 2) and not (fresh[1] and k % 2)]
    for _ in range(10):
        gate = torch.randn(4, 4, dtype=F64)
        rotation, factor = _nearest_rotation(gate, fresh)
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(4, dtype=F64))
        assert torch.linalg.det(rotation).item() == pytest.approx(1)
        gradient = rotation[:, used].T @ gate[:, used]
        torch.testing.assert_close(gradient, gradient.T)
        assert factor == pytest.approx(gradient.trace().item() / len(used))


def test_projection_after_training_changes_little_where_gates_stay_near_unitary() -> None:
    small, large = (wall((16, 16), depth=4) for _ in range(2))
    for one, spread in ((small, 1e-3), (large, 0.2)):
        relax_(one)
        with torch.no_grad():
            one.gates.add_(torch.randn_like(one.gates), alpha=spread)
    errors = []
    for one in (small, large):
        before = one().detach()
        penalty = unitarity(one).item()
        project_(one)
        errors.append((((one() - before).norm() / before.norm()).item(), penalty))
    assert errors[0][0] < 0.02 < errors[1][0]
    assert errors[0][1] < 1e-3 < errors[1][1]


def test_unitarity_ignores_length_and_is_differentiable() -> None:
    one = wall((8, 8), depth=3)
    assert unitarity(one).item() == 0
    relax_(one)
    with torch.no_grad():
        one.gates.mul_(3)
    assert unitarity(one).item() < 1e-20
    with torch.no_grad():
        one.gates.add_(torch.randn_like(one.gates) * 0.1)

    def penalty(gates: Tensor) -> Tensor:
        return torch.func.functional_call(_Penalty(one), {"wall.gates": gates}, ())

    assert torch.autograd.gradcheck(penalty, (one.gates.detach().clone().requires_grad_(),))
    optimizer = torch.optim.Adam([one.gates], lr=0.02)
    begin = unitarity(one).item()
    for _ in range(100):
        optimizer.zero_grad()
        unitarity(one).backward()
        optimizer.step()
    assert unitarity(one).item() < 0.01 * begin


class _Penalty(nn.Module):
    def __init__(self, one: BrickWall) -> None:
        super().__init__()
        self.wall = one

    def forward(self) -> Tensor:
        return unitarity(self)


def test_whole_models_tied_parametrized_and_frozen() -> None:
    model = nn.ModuleDict(
        {"emb": nn.Embedding(64, 32), "head": nn.Linear(32, 64), "attn": nn.MultiheadAttention(32, 4)}
    )
    model["head"].weight = model["emb"].weight
    model.double().eval()
    model["attn"].in_proj_weight.requires_grad_(False)
    compress_(model, Circuit(depth=3), select=["emb", "attn.in_proj_weight", "attn.out_proj"], fit=None)
    x = torch.randn(3, 2, 32, dtype=F64)
    with torch.no_grad():
        before = model["head"](model["attn"](x, x, x)[0])
        relax_(model)
        assert model["emb"].circuit is model["head"].circuit
        torch.testing.assert_close(model["head"](model["attn"](x, x, x)[0]), before)
        project_(model)
        torch.testing.assert_close(model["head"](model["attn"](x, x, x)[0]), before)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {f"attn.parametrizations.in_proj_weight.0.circuit.{name}" for name in ("gates", "scale")}
    assert not any(module.training for module in model.modules())
    assert {parameter.dtype for parameter in model.parameters()} == {F64}


def test_what_is_there_already_stays() -> None:
    model = nn.Sequential(adqc.nn.Linear(16, 16), adqc.nn.Linear(16, 16, circuit=Circuit(gate="free")))
    gates = model[1].circuit.gates
    relax_(model)
    assert model[1].circuit.gates is gates
    project_(model)
    gates = model[0].circuit.gates
    project_(model)
    assert model[0].circuit.gates is gates


@pytest.mark.parametrize("gate", ["cartan-su4", "su4"])
def test_complex_gates_cannot_be_relaxed_and_nothing_changes(gate: str) -> None:
    model = nn.Sequential(adqc.nn.Linear(16, 16), nn.Sequential(adqc.nn.Linear(16, 16, circuit=Circuit(gate=gate))))
    parameters = list(model.parameters())
    with pytest.raises(ValueError, match=rf"^1\.0: its '{gate}' gates are complex") as info:
        relax_(model)
    assert "\n" not in str(info.value)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))


def test_other_errors() -> None:
    with pytest.raises(ValueError, match="the model has no circuits"):
        relax_(nn.Linear(3, 3))
    with pytest.raises(ValueError, match="the model has no circuits"):
        project_(nn.Linear(3, 3))
    model = nn.Sequential(adqc.nn.Linear(16, 16, circuit=Circuit(gate="free")))
    with pytest.raises(ValueError, match="not 'su4'"):
        project_(model, gate="su4")
    with torch.no_grad():
        model[0].circuit.gates[3] = torch.nan
    with pytest.raises(ValueError, match="0: its gates have NaN"):
        project_(model)
    assert model[0].circuit.config.gate == "free"


def test_unitarity_of_a_plain_model_is_zero() -> None:
    assert unitarity(nn.Linear(3, 3)).item() == 0
    assert unitarity(nn.ReLU()).item() == 0
