"""Trains: every cut of a staircase of one sweep, values and derivatives, against the oracle."""

from __future__ import annotations

import pytest
import torch
from route_suite import joined, take_in

from adqc import arrays
from adqc.config import Circuit
from adqc.engine.evolve import run_program
from adqc.engine.materialise import make_plan
from adqc.engine.split import cut
from adqc.engine.statevector import run_gates
from adqc.engine.train import Train, make_train, narrow_train
from adqc.engine.train_loops import is_looped, run_train
from adqc.geometry import Wiring, brick_wall, wire

# Width and stride; spread evenly over seven to ten sites the last ones overlap more than the others, or all alike.
KINDS = ((2, 1), (3, 1), (3, 2), (4, 3), (5, 2), (5, 4))


def every_cut(wiring, **options):
    sites = range(1, wiring.sites)
    found = []
    for places in [(a,) for a in sites] + [(a, b) for a in sites for b in sites if a < b] + [(1, 2, 3), (2, 4, 6)]:
        split = cut(wiring, places)
        train = None if split is None else make_train(wiring, split, **options)
        if train is not None:
            found.append(train)
    return found


def random_gates(wiring, dtype=torch.float64, seed=0):
    size = 2 ** len(wiring.gates[0])
    generator = torch.Generator().manual_seed(seed)
    gates = torch.randn(len(wiring.gates), size, size, dtype=dtype, generator=generator)
    return gates, torch.randn(wiring.sites, 2, dtype=dtype, generator=generator)


@pytest.mark.parametrize(("width", "stride"), KINDS)
@pytest.mark.parametrize("sites", [7, 8, 10])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_every_cut(width, stride, sites, given, dtype):
    wiring = wire("staircase", sites, 1, width=width, stride=stride)
    gates, start = random_gates(wiring, dtype)
    state = start if given else None
    due = run_gates(gates, wiring, state)
    found = every_cut(wiring)
    # Between any two gates, and from three gates on two of these at once.
    assert len(found) >= len(wiring.gates) - 1 + (len(wiring.gates) > 2)
    for train in found:
        pieces = run_program(take_in(gates, state, wiring), train, None, torch.tensor(1.75))
        torch.testing.assert_close(joined(pieces), 1.75 * due, rtol=0, atol=1e-11 * due.abs().max().item())
        assert [piece.shape for piece in pieces] == [piece.shape for piece in train.pieces]


# In torch, in numpy with torch's products, in numpy.
@pytest.mark.parametrize(("small", "product"), [(0, 0), (2**17, 0), (2**17, 2**17)])
@pytest.mark.parametrize(("width", "stride"), KINDS)
@pytest.mark.parametrize("given", [False, True])
def test_gradients(width, stride, given, small, product, monkeypatch):
    monkeypatch.setattr(arrays, "SMALL", small)
    monkeypatch.setattr(arrays, "PRODUCT", product)
    wiring = wire("staircase", 8, 1, width=width, stride=stride)
    inputs = [tensor.requires_grad_() for tensor in random_gates(wiring, torch.complex128)][: 1 + given]
    inputs.append(torch.tensor(1.75, dtype=torch.complex128, requires_grad=True))

    def state():
        return inputs[1] if given else None

    due = run_gates(inputs[0], wiring, state()) * inputs[-1]
    seed = torch.randn_like(due)
    due = torch.autograd.grad((due * seed).abs().square().sum(), inputs)
    for train in every_cut(wiring):
        found = joined(run_program(take_in(inputs[0], state(), wiring), train, None, inputs[-1]))
        found = torch.autograd.grad((found * seed).abs().square().sum(), inputs)
        for a, b in zip(found, due, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-11 * b.abs().max().item())


@pytest.mark.parametrize("small", [0, 2**17])
def test_second_derivatives(small, monkeypatch):
    monkeypatch.setattr(arrays, "SMALL", small)
    wiring = wire("staircase", 5, 1, width=3, stride=1)
    train = every_cut(wiring)[-1]
    gates, state = random_gates(wiring)

    def square(gates, state):
        return joined(run_program(take_in(gates, state, wiring), train)).square()

    torch.autograd.gradgradcheck(square, (gates.requires_grad_(), state.requires_grad_()))


def test_outputs_come_in_the_order_of_their_ranks():
    wiring = wire("staircase", 8, 1, width=3, stride=2)
    ranks = (3, 1, 6, 0, 7, 2, 5, 4)
    gates, _ = random_gates(wiring)
    for plain, sorted_ in zip(every_cut(wiring), every_cut(wiring, ranks=ranks), strict=True):
        plain, order = joined(run_program(gates, plain)).reshape((2,) * 8), sorted_.pieces
        found = joined(run_program(gates, sorted_)).reshape((2,) * 8)
        wanted = [site for piece in order for site in sorted(piece.sites, key=ranks.__getitem__)]
        assert [site for piece in order for site in piece.sites] == wanted
        torch.testing.assert_close(found, plain.permute(wanted), rtol=0, atol=1e-13)


def test_what_is_no_train():
    two = cut(wire("staircase", 8, 2), (4,), -1)
    assert make_train(wire("staircase", 8, 2), two) is None
    assert make_train(brick_wall(8, 1), cut(brick_wall(8, 1), (4,))) is None
    sweep = wire("staircase", 8, 1)
    assert make_train(sweep, cut(sweep, ())) is None
    for gates in (sweep.gates[::-1], sweep.gates[1:], sweep.gates[:-1], (*sweep.gates[:-1], (5, 6, 7))):
        other = Wiring(8, gates, (len(gates),))
        split = cut(other, (4,))
        assert split is None or make_train(other, split) is None


@pytest.mark.parametrize("shape", [(16, 20), (256, 784), (128, 128, 3, 3)])
@pytest.mark.parametrize(("gate", "stride"), [("o8", 1), ("o32", 4), ("o64", 4)])
def test_wide_gates_are_built_as_trains(shape, gate, stride):
    config = Circuit(depth=1, gate=gate, wiring="staircase", stride=stride)
    layout = config.arrange(shape)
    assert isinstance(make_plan(config.wire(layout.sites), layout).head, Train)


@pytest.mark.parametrize(("width", "stride"), KINDS)
@pytest.mark.parametrize("every", [1, 2])
def test_loops_make_the_same(team, width, stride, every):
    wiring = wire("staircase", 8, 1, width=width, stride=stride)
    gates, _ = random_gates(wiring)
    # Columns that are never met, as a last wire of each gate holds |0>, are not given.
    met = gates[..., ::every].clone().requires_grad_()
    scale = torch.tensor([1.75], dtype=torch.float64, requires_grad=True)
    whole = met if every == 1 else torch.stack([met, torch.zeros_like(met)], dim=-1).flatten(-2)
    due = scale * run_gates(whole, wiring)
    seed = torch.randn_like(due)
    grads = torch.autograd.grad(due, (met, scale), seed)
    for train in every_cut(wiring):
        own = train if every == 1 else narrow_train(train, every)
        found, pull = run_train(met.detach().numpy(), own, scale.detach().numpy())
        assert [piece.shape for piece in found] == [piece.shape for piece in train.pieces]
        pieces = [torch.tensor(piece, requires_grad=True) for piece in found]
        made = joined(pieces)
        torch.testing.assert_close(made, due, rtol=0, atol=1e-12 * due.abs().max().item())
        given = [grad.numpy() for grad in torch.autograd.grad(made, pieces, seed)]
        # Twice, as the second one takes what the first one has left.
        for _ in range(2):
            for own_grad, expected in zip(pull(given), grads, strict=True):
                torch.testing.assert_close(
                    torch.tensor(own_grad), expected, rtol=0, atol=1e-12 * expected.abs().max().item()
                )


def test_large_trains_are_left_to_a_library():
    small, large = (wire("staircase", sites, 1, width=6, stride=3) for sites in (12, 24))
    assert all(map(is_looped, every_cut(small)))
    assert not is_looped(make_train(large, cut(large, (12,))))
