"""Small circuits in one step of autograd, against the oracle and against the same in many steps."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.utils.checkpoint

import adqc
from adqc import arrays, at_once, memory
from adqc.at_once import build_at_once, pieces_at_once
from adqc.engine.materialise import make_plan
from adqc.gates import FAMILIES, GateFamily
from adqc.matrix_free import find_chain

WITH_ARRAYS = [name for name, family in FAMILIES.items() if family.arrays is not None]


def make(gate="cartan", shape=(12, 20), dtype=torch.float64, **options):
    options = {"depth": 1, "wiring": "staircase", "stride": 2} if str(gate).startswith("o") and not options else options
    generator = torch.Generator().manual_seed(0)
    wall = adqc.BrickWall(shape, adqc.Circuit(gate=gate, **options), generator=generator, dtype=dtype)
    with torch.no_grad():
        wall.scale.fill_(1.75)
        if wall.state is not None:
            # Of |0> on all sites many a mistake would go unseen.
            wall.state.normal_(generator=generator)
    return wall


def replace_o8():
    return dataclasses.replace(FAMILIES["o8"], name="o8 with a start state", unitary=False)


def numbers(wall):
    return [own for own in (wall.gates, wall.scale, wall.state) if own is not None]


def build(wall):
    return build_at_once(wall, wall.gates, wall.scale, wall.config.route, wall.state)


# Complex gates that are not unitary, as torch makes them, so that there is a product state to begin with.
WHOLE = GateFamily(
    "complex", 32, lambda p, wires: None, lambda p: torch.view_as_complex(p.unflatten(-1, (4, 4, 2))), unitary=False,
    real=False, start=lambda fresh, generator: torch.randn(len(fresh), 32, generator=generator).double() / 3,
)  # fmt: skip
CASES = [
    *((name, (12, 20), {}) for name in WITH_ARRAYS if name != "o64"),
    ("o64", (12, 20, 3), {}),
    ("cartan", (7,), {"depth": 3}),
    ("free", (100,), {"depth": 3}),
    ("free", (3, 5, 6), {"depth": 6, "layout": "rows-first"}),
    ("free", (64, 64), {"depth": 8}),
    ("free", (60, 40), {"depth": 13}),
    ("cartan", (3, 5, 6), {"depth": 5, "layout": "rows-first"}),
    ("cartan", (33, 9), {"depth": 2, "layout": "grouped"}),
    ("cartan", (64, 64), {"depth": 6}),
    ("cartan", (12, 20), {"depth": 30}),
    ("so4", (12, 20), {"depth": 16}),
    ("so4", (12, 20), {"depth": 6, "start": "near-identity"}),
    ("cartan", (12, 20), {"depth": 13, "wiring": "staircase"}),
    ("o8", (12, 20), {"depth": 2}),
    ("o16", (12, 20), {"depth": 5, "wiring": "staircase", "stride": 2}),
    # Complex ones: in halves, halves and the whole state, the whole state alone.
    ("su4", (3, 5, 6), {"depth": 5, "layout": "rows-first"}),
    ("cartan-su4", (64, 64), {"depth": 6}),
    ("cartan-su4", (60, 40), {"depth": 8}),
    ("su4", (60, 40), {"depth": 10}),
    ("su4", (12, 20), {"depth": 16}),
    ("cartan-su4", (12, 20), {"depth": 9, "wiring": "staircase"}),
    ("cartan-su4", (260, 180), {"depth": 9, "axes": (260, 12, 15)}),
    ("su4", (12, 20), {"depth": 4, "axes": (12, 4, 5), "frequencies": (0, 3, 0)}),
    (WHOLE, (12, 20), {"depth": 5}),
    # Which begin with a product state, one of them in halves of cores.
    (replace_o8(), (100, 100), {"depth": 1, "wiring": "staircase", "stride": 2, "route": "halves"}),
    (replace_o8(), (12, 20), {"depth": 6}),
    ("free", (12, 20), {"depth": 9, "wiring": "staircase"}),
    ("cartan", (3, 5, 6), {"depth": 31, "layout": "rows-first"}),
    ("cartan", (60, 40), {"depth": 24}),
    ("cartan", (200, 100), {"depth": 14}),
    # Of more entries than are looked up one by one, and seen with other axes than they have.
    ("cartan", (260, 180), {"depth": 9, "axes": (260, 12, 15)}),
    # Of more entries than numpy takes where they are not multiplied.
    ("so4", (512, 512), {"depth": 8}),
    ("free", (512, 512), {"depth": 8}),
    ("o8", (5, 40), {"depth": 1, "wiring": "staircase"}),
    ("o8", (12, 20), {"depth": 1, "wiring": "staircase", "layout": "rows-first"}),
    ("o16", (12, 20), {"depth": 1, "wiring": "staircase", "stride": 3, "axes": (12, 4, 5), "frequencies": (0, 3, 0)}),
]


@pytest.mark.parametrize(("gate", "shape", "options"), CASES, ids=str)
def test_values_and_gradients_are_the_oracles(gate, shape, options):
    wall = make(gate, shape, **options)
    found = build(wall)
    assert found is not None
    found, due = wall.to_weight(found), wall("gates")
    assert found.shape == due.shape == shape
    assert (found - due).abs().max() < 1e-12
    seed = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for own, expected in zip(*(torch.autograd.grad(y, numbers(wall), seed) for y in (found, due)), strict=True):
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("gate", ["cartan", "su4", "free", "o8"])
def test_what_cannot_be_done_at_once_is_done_in_steps(gate):
    wall = make(gate)
    params = numbers(wall)
    # Second derivatives, and gradients that come in batches.
    assert torch.autograd.gradgradcheck(
        lambda gates, scale, *state: build_at_once(wall, gates, scale, "auto", *state),
        [value.detach().clone().requires_grad_() for value in params],
    )
    seeds = torch.randn(3, 12, 20, dtype=torch.float64)
    found = torch.autograd.grad(wall(), params, seeds, is_grads_batched=True)
    for at, seed in enumerate(seeds):
        for own, expected in zip(found, torch.autograd.grad(wall(), params, seed), strict=True):
            torch.testing.assert_close(own[at], expected, rtol=0, atol=1e-11)


def test_who_looks_on_sees_plain_functions():
    wall = make()
    assert torch.func.vmap(wall.build)(wall.gates[None], wall.scale[None]).shape == (1, 12, 20)
    seen = []
    torch.func.grad(lambda gates: seen.append(build_at_once(wall, gates, wall.scale, "auto")) or gates.sum())(
        wall.gates
    )
    assert seen == [None]


@pytest.mark.parametrize(
    "wall",
    [
        make("free", shape=(7, 9), depth=1),
        make(route="gates"),
        make(dtype=torch.bfloat16),
        make(shape=(2048, 1024), depth=2),
    ],
    ids=["site without a gate", "gates", "bfloat16", "in blocks"],
)
def test_other_circuits_go_on_as_before(wall):
    assert build(wall) is None
    assert wall().isfinite().all()


def test_what_a_checkpoint_shall_drop_is_not_kept_in_arrays():
    wall = make(depth=20)
    assert build(wall).grad_fn.name() == "_AtOnceBackward"
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        assert build(wall) is None
    due = torch.autograd.grad(wall("gates").sum(), wall.gates)[0]
    found = torch.utils.checkpoint.checkpoint(wall, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), wall.gates)[0], due, rtol=0, atol=1e-11)


def test_arrays_of_many_entries_are_tensors_where_somebody_wants_to_keep_them():
    wall = make(shape=(2048, 2048), dtype=torch.float32, depth=7, layout="rows-first")
    plan = make_plan(wall.wiring, wall.layout)
    assert plan.tail is None
    assert arrays.SMALL < plan.head.size <= arrays.MULTIPLIED * arrays.SMALL
    assert build(wall).grad_fn.name() == "_AtOnceBackward"
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        assert build(wall) is None
        wall()
    # The halves, which are multiplied, and what they were made of.
    halves = 2 * 2**11 * 2**6
    assert sum(tensor.numel() for tensor in kept) > halves + plan.head.size


def test_gates_of_other_matrices_are_not_taken_for_the_familys_own():
    class Doubled:
        __hash__ = None

        def __call__(self, params):
            return FAMILIES["cartan"].matrices(2 * params)

    family = dataclasses.replace(FAMILIES["cartan"], name="doubled", matrices=Doubled())
    wall = adqc.BrickWall((12, 20), adqc.Circuit(gate=family), dtype=torch.float64)
    found, due = build(wall), wall("gates")
    assert (found - due).abs().max() < 1e-12
    assert (found - build(make())).abs().max() > 1e-3
    grads = (torch.autograd.grad(own.square().sum(), wall.gates)[0] for own in (found, due))
    torch.testing.assert_close(*grads, rtol=0, atol=1e-12)
    with torch.inference_mode():
        torch.testing.assert_close(wall(), due, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("turn", [lambda gates: gates.double(), lambda gates: gates + 0j, lambda gates: gates])
def test_gates_come_in_whatever_type_a_user_has_made_them(dtype, real, turn):
    cartan = FAMILIES["cartan"].matrices
    family = dataclasses.replace(FAMILIES["cartan"], name="mine", matrices=lambda p: turn(cartan(p)), real=real)
    wall = make(family, depth=4, dtype=dtype)
    found, due = build(wall), make(depth=4)("gates")
    assert found.dtype == dtype
    torch.testing.assert_close(found, due.to(dtype), rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-13)
    found.sum().backward()
    assert wall.gates.grad.dtype == dtype


def test_gates_that_are_not_real_as_promised_are_refused():
    family = dataclasses.replace(
        FAMILIES["su4"], name="mine", matrices=lambda p: FAMILIES["su4"].matrices(p), real=True
    )
    with pytest.raises(ValueError, match="gate family 'mine' says that its gates are real"):
        build(make(family))


def test_only_what_is_needed_gets_a_gradient():
    wall = make()
    wall.scale.requires_grad_(False)
    wall().sum().backward()
    assert wall.scale.grad is None
    assert wall.gates.grad.abs().max() > 0
    with torch.no_grad():
        assert not build(wall).requires_grad
    with torch.inference_mode():
        assert torch.equal(build(wall), wall())


def test_parameters_changed_before_the_backward_pass_are_noticed():
    wall = make()
    y = wall().sum()
    with torch.no_grad():
        wall.gates.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_small_halves_of_a_large_weight_are_refused_before_it_is_built(monkeypatch):
    wall = make(shape=(2**15, 2**15), depth=2, layout="rows-first", dtype=torch.float32)
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**31)
    monkeypatch.setattr(at_once, "make_circuit", lambda *_, **__: pytest.fail("memory was asked for"))
    with pytest.raises(MemoryError, match=f"{2**32:,} bytes"):
        wall()


def test_it_is_what_a_small_circuit_takes(monkeypatch):
    calls = []
    own = at_once.make_circuit
    monkeypatch.setattr(at_once, "make_circuit", lambda *given, **options: calls.append(1) or own(*given, **options))
    wall = make(dtype=torch.float32)
    wall().sum().backward()
    with torch.no_grad():
        wall()
    assert len(calls) == 2


@pytest.mark.parametrize("gate", ["cartan", "su4", "free", "o8"])
@pytest.mark.parametrize("layout", ["rows-first", "interleaved"])
@pytest.mark.parametrize("batch", [1, 300])
@pytest.mark.parametrize("depth", [3, 6])
def test_pieces_and_their_gradients_are_those_made_in_steps(gate, layout, batch, depth):
    options = {"depth": 1, "wiring": "staircase"} if gate == "o8" else {"depth": depth}
    wall = make(gate, (12, 20), layout=layout, **options)
    chain = find_chain(wall, batch, use="linear", kept=False)
    params = numbers(wall)
    found = pieces_at_once(wall, wall.gates, wall.scale, chain, wall.state)
    due = wall.pieces_in_steps(chain, *params)
    seeds = [torch.randn_like(piece) for piece in due]
    for own, expected in zip(found, due, strict=True):
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-12)
    for own, expected in zip(*(torch.autograd.grad(pieces, params, seeds) for pieces in (found, due)), strict=True):
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-11)
    if depth == 3:
        assert torch.autograd.gradgradcheck(
            lambda gates, scale, *state: tuple(pieces_at_once(wall, gates, scale, chain, *state)),
            [value.detach().clone().requires_grad_() for value in params],
        )
