"""A circuit for any tensor of any module, without a dense original anywhere."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from adqc.brickwall import BrickWall
from adqc.config import Circuit
from adqc.parametrization import find_circuit, parametrize_, unparametrize_

CONFIG = Circuit(depth=2)


def attention():
    return nn.MultiheadAttention(8, 2, batch_first=True)


def lstm():
    return nn.LSTM(6, 5, num_layers=2, batch_first=True)


def encoder():
    return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)


def gru():
    return nn.GRU(6, 5, bidirectional=True, batch_first=True)


MODULES = {
    "attention": (attention, ["in_proj_weight", "out_proj.weight"]),
    "lstm": (lstm, ["weight_ih_l0", "weight_hh_l0", "weight_hh_l1"]),
    "gru": (gru, ["weight_ih_l0", "weight_hh_l0_reverse"]),
    "encoder": (encoder, ["self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight"]),
}


def owner(module, path):
    parent, _, name = path.rpartition(".")
    return module.get_submodule(parent), name


def compressed(kind):
    """A module with circuits, and a plain one with the tensors that the circuits make."""
    build, paths = MODULES[kind]
    module, plain = build(), build()
    for k, path in enumerate(paths):
        holder, name = owner(module, path)
        shape = getattr(holder, name).shape
        wall = BrickWall(shape, CONFIG, std=0.3, generator=torch.Generator().manual_seed(k))
        parametrize_(holder, name, wall=wall)
    with torch.no_grad():
        for path, parameter in plain.named_parameters():
            holder, name = owner(module, path)
            parameter.copy_(getattr(holder, name))
    return module, plain, paths


def call(kind, module, inputs):
    out = module(inputs, inputs, inputs) if kind == "attention" else module(inputs)
    return out if kind == "encoder" else out[0]


def inputs_for(kind):
    return torch.randn(2, 4, 6 if kind in ("lstm", "gru") else 8)


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("mode", ["train", "eval", "eval without gradients"])
def test_the_module_does_what_it_does_with_the_dense_tensors(kind, mode, monkeypatch):
    module, plain, paths = compressed(kind)
    fast = []
    for name in ("_transformer_encoder_layer_fwd", "_native_multi_head_attention"):
        original = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *a, f=original, **k: (fast.append(1), f(*a, **k))[1])
    inputs = inputs_for(kind)
    module.train(mode == "train")
    plain.train(mode == "train")
    with torch.set_grad_enabled(mode != "eval without gradients"):
        # Twice: modules such as nn.LSTM keep what they saw at the first call.
        for _ in range(2):
            found, expected = call(kind, module, inputs), call(kind, plain, inputs)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    if mode == "eval without gradients":
        assert len(fast) == (0 if kind in ("lstm", "gru") else 4)
    else:
        assert not fast
        found.square().sum().backward()
        expected.square().sum().backward()
        for path in paths:
            wall = find_circuit(*owner(module, path))
            dense = owner(plain, path)[0].get_parameter(owner(plain, path)[1]).grad
            (own,) = torch.autograd.grad(wall(), wall.gates, dense)
            torch.testing.assert_close(wall.gates.grad, own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", MODULES)
def test_a_change_of_the_circuit_reaches_the_module(kind):
    module, _, paths = compressed(kind)
    module.eval()
    inputs = inputs_for(kind)
    with torch.no_grad():
        before = call(kind, module, inputs)
        find_circuit(*owner(module, paths[0])).scale.mul_(2)
        assert not torch.allclose(call(kind, module, inputs), before)


@pytest.mark.parametrize("kind", MODULES)
def test_no_dense_original_is_kept(kind):
    module, plain, paths = compressed(kind)
    names = set(module.state_dict())
    assert not names & set(paths)
    assert not [name for name in names if "original" in name]
    assert set(plain.state_dict()) - set(paths) <= names
    walls = [find_circuit(*owner(module, path)) for path in paths]
    dense = sum(plain.get_parameter(path).numel() for path in paths)
    total = sum(p.numel() for p in plain.parameters())
    assert sum(p.numel() for p in module.parameters()) == total - dense + sum(wall.parameter_count for wall in walls)


@pytest.mark.parametrize("kind", MODULES)
def test_state_dict_loads_strictly(kind):
    module, _, _ = compressed(kind)
    other, _, paths = compressed(kind)
    for path in paths:
        with torch.no_grad():
            find_circuit(*owner(other, path)).gates.zero_()
    other.load_state_dict(module.state_dict(), strict=True)
    inputs = inputs_for(kind)
    assert torch.equal(call(kind, other.eval(), inputs), call(kind, module.eval(), inputs))


@pytest.mark.parametrize("kind", MODULES)
def test_deepcopy_has_circuits_of_its_own(kind):
    module, _, paths = compressed(kind)
    twin = copy.deepcopy(module)
    inputs = inputs_for(kind)
    assert torch.equal(call(kind, twin.eval(), inputs), call(kind, module.eval(), inputs))
    with torch.no_grad():
        find_circuit(*owner(twin, paths[0])).scale.mul_(2)
    assert not torch.allclose(call(kind, twin, inputs), call(kind, module, inputs))


@pytest.mark.parametrize("kind", MODULES)
def test_back_to_dense_tensors(kind):
    module, plain, paths = compressed(kind)
    twin = copy.deepcopy(module)
    inputs = inputs_for(kind)
    expected = call(kind, plain.eval(), inputs)
    for k, path in enumerate(paths):
        unparametrize_(*owner(twin, path))
        assert find_circuit(*owner(twin, path)) is None
        assert isinstance(owner(twin, path)[0]._parameters[owner(twin, path)[1]], nn.Parameter)
        # The module copied from keeps all of its circuits, as do the tensors not yet turned back.
        assert torch.equal(getattr(*owner(twin, paths[-1])), getattr(*owner(module, paths[-1])))
        assert all(find_circuit(*owner(module, other)) is not None for other in paths)
        assert all(find_circuit(*owner(twin, other)) is not None for other in paths[k + 1 :])
    assert type(twin) is type(plain)
    assert set(twin.state_dict()) == set(plain.state_dict())
    torch.testing.assert_close(call(kind, twin.eval(), inputs), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(call(kind, module.eval(), inputs), expected, rtol=0, atol=1e-6)
    for path in paths:
        getattr(*owner(module, path))


def test_a_module_of_a_users_own():
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(2, 3, 5))

        def forward(self, x):
            return torch.einsum("bi,oij->boj", x, self.table)

    module = Mixing()
    wall = BrickWall((2, 3, 5), CONFIG)
    parametrize_(module, "table", wall=wall)
    assert find_circuit(module, "table") is wall
    module(torch.randn(4, 3)).sum().backward()
    assert wall.gates.grad.abs().sum() > 0


def test_the_tensor_cannot_be_assigned():
    module, _, _ = compressed("lstm")
    before = module.weight_ih_l0.clone()
    with pytest.raises(AttributeError, match=r"shape \(20, 6\) is built from its circuit and cannot be assigned"):
        module.weight_ih_l0 = torch.zeros(20, 6)
    # torch itself refuses a parameter.
    with pytest.raises(KeyError, match="attribute 'weight_ih_l0' already exists"):
        module.weight_ih_l0 = nn.Parameter(torch.zeros(20, 6))
    assert torch.equal(module.weight_ih_l0, before)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("weight_xx", (20, 6), "LSTM has no parameter 'weight_xx': it has weight_ih_l0, "),
        ("weight_ih_l0", (6, 20), r"weight_ih_l0 has shape \(20, 6\), but the circuit makes \(6, 20\)"),
        ("weight_hh_l0", (20, 5), "LSTM has no parameter 'weight_hh_l0'"),  # has a circuit already
    ],
)
def test_bad_tensors_get_one_sentence_and_leave_the_module(name, shape, message):
    module = lstm()
    parametrize_(module, "weight_hh_l0", wall=BrickWall((20, 5), CONFIG))
    before = list(module.state_dict())
    with pytest.raises(ValueError, match=message) as caught:
        parametrize_(module, name, wall=BrickWall(shape, CONFIG))
    assert "\n" not in str(caught.value)
    assert list(module.state_dict()) == before


def test_find_circuit_sees_only_circuits():
    module = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    assert find_circuit(module, "weight") is None
    assert find_circuit(nn.Linear(3, 4), "weight") is None
