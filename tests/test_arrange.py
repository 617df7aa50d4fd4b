"""Moving axes: looked up or permuted, values and derivatives; halves that are cropped before they are joined."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from route_suite import Case, make_wall

from adqc.engine import arrange, join, materialise, moves, products
from adqc.engine.arrange import find_move, move_axes, move_back, permute_axes
from adqc.engine.materialise import make_plan
from adqc.geometry import brick_wall, layout

SHAPES = [(2,) * 7, (2,) * 6 + (8,), (2, 3, 2, 2, 4, 5), (4, 2, 2, 2, 2, 64), (8, 16)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("most", [0, 2**16])
def test_permutations(shape, keeps, most, monkeypatch):
    # Without room for a list of places the axes are permuted, else they are looked up.
    monkeypatch.setattr(arrange, "MOST_ROWS", most)
    axes = list(range(len(shape)))
    front = axes[:-1] if keeps else axes
    axes = random.Random(str(shape)).sample(front, len(front)) + axes[len(front) :]
    x = torch.randn(3, *shape, dtype=torch.float64, requires_grad=True)
    due = x.permute(0, *(axis + 1 for axis in axes)).flatten(1)
    found = permute_axes(x.flatten(1), shape, axes)
    assert torch.equal(found, due)
    assert torch.equal(permute_axes(x.detach().flatten(1), shape, axes), due)
    seed = torch.randn_like(due)
    firsts = [torch.autograd.grad((y.square() * seed).sum(), x, create_graph=True)[0] for y in (found, due)]
    assert torch.equal(*firsts)
    assert torch.equal(*(torch.autograd.grad(first.square().sum(), x)[0] for first in firsts))


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128, torch.bfloat16], ids=str
)
@pytest.mark.parametrize("most", [0, 2**19])
@pytest.mark.parametrize("shape", [(2, 3, 2, 2, 4, 5), (2, 2, 2, 2, 2, 2, 32), (4, 2, 2, 2, 2, 64), (600,)], ids=str)
def test_entries_are_moved_in_loops_where_autograd_does_not_look_on(shape, most, dtype, monkeypatch):
    monkeypatch.setattr(arrange, "MOST", most)
    used = []
    monkeypatch.setattr(arrange, "gather_", lambda *given: used.append(1) or moves.gather_(*given))
    last = len(shape) - 1
    axes = [*random.Random(str(shape)).sample(range(last), last), last]
    x = torch.randn(3, *shape, dtype=dtype)
    due = x.permute(0, *(axis + 1 for axis in axes)).flatten(1)
    assert torch.equal(permute_axes(x.flatten(1), shape, axes), due)
    # Long runs are torch's where there are many, and types that numpy has not.
    long = shape[-1] * x.element_size() >= arrange.LONG
    assert len(used) == (dtype != torch.bfloat16 and not (long and most == 0))
    x.requires_grad_()
    count = len(used)
    assert torch.equal(permute_axes(x.flatten(1), shape, axes), due)
    assert len(used) == count


def test_moves_of_axes_of_any_size():
    sizes = {"b": 3, "d": 5}
    tensor = torch.arange(2 * 3 * 2 * 5).reshape(2, 3, 2, 5)
    for order in itertools.permutations("abcd"):
        move = find_move("abcd", order, sizes=sizes)
        due = tensor.permute(*("abcd".index(axis) for axis in order)).flatten()
        if move is None:
            assert order == tuple("abcd")
            continue
        found = move_axes(tensor.flatten(), move)
        assert torch.equal(found, due)
        assert torch.equal(move_back(found, move), tensor.flatten())


def test_axes_that_lie_in_a_half_are_cropped_there():
    weights = layout((512, 512, 3, 3))
    plan = make_plan(brick_wall(weights.sites, 4), weights)
    assert plan.join.shape == (512, 512, 3, 3)
    assert [crop is None for crop in plan.join.crops].count(True) == 1
    # Of one that lies in both halves its leading bits are: 13 of their 16 values hold all of the 784 columns.
    weights = layout((256, 784))
    assert make_plan(brick_wall(weights.sites, 4), weights).join.shape == (256, 13 * 64)


@pytest.mark.parametrize("gate", ["cartan", "su4", "free"])
@pytest.mark.parametrize("order", ["interleaved", "rows-first", "grouped"])
@pytest.mark.parametrize("shape", [(8, 9, 3, 3), (3, 40), (40, 3), (6, 5, 1, 7)], ids=str)
@pytest.mark.parametrize("depth", [3, 4])
def test_cropped_halves_against_the_oracle(gate, order, shape, depth):
    wall = make_wall(Case(gate, "brick-wall", order, depth, shape))
    seed = torch.randn(shape, dtype=torch.float64)
    found, due = wall("halves"), wall("gates")
    torch.testing.assert_close(found, due, rtol=0, atol=1e-10 * max(1, due.abs().max().item()))
    leaves = list(wall.parameters())
    for a, b in zip(*(torch.autograd.grad(y, leaves, seed) for y in (found, due)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9 * max(1, b.abs().max().item()))


@pytest.mark.parametrize("shape", [(32, 32), (20, 49), (64, 16)], ids=str)
def test_large_products_are_made_block_by_block(shape, monkeypatch):
    monkeypatch.setattr(join, "MANY", 2)
    monkeypatch.setattr(join, "MANY_A_BOND", 2)
    monkeypatch.setattr(join, "SHORTEST", 2)
    # What is planned with these is of no use elsewhere.
    monkeypatch.setattr(materialise, "_make_plan", materialise._make_plan.__wrapped__)
    used = []
    monkeypatch.setattr(
        join, "multiply_in_blocks", lambda *given: used.append(given[2]) or products.multiply_in_blocks(*given)
    )
    wall = make_wall(Case("cartan", "brick-wall", "interleaved", 3, shape))
    seed = torch.randn(shape, dtype=torch.float64)
    found, due = wall("halves"), wall("gates")
    assert len(used) == 1
    torch.testing.assert_close(found, due, rtol=0, atol=1e-10)
    leaves = list(wall.parameters())
    for a, b in zip(*(torch.autograd.grad(y, leaves, seed) for y in (found, due)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(wall("halves"), due, rtol=0, atol=1e-10)


def test_large_weights_are_not_moved():
    found = {}
    for depth, size in itertools.product((4, 6, 8), (1024, 2048, 4096)):
        weights = layout((size, size))
        found[depth, size] = make_plan(brick_wall(weights.sites, depth), weights, "halves").join.in_blocks
    assert [where for where, in_blocks in found.items() if in_blocks] == [
        (4, 2048), (4, 4096), (6, 2048), (6, 4096), (8, 4096),
    ]  # fmt: skip


def test_derivatives_of_products_made_block_by_block():
    left, right = torch.randn(6, 3, dtype=torch.float64), torch.randn(3, 20, dtype=torch.float64)
    leaves = left.requires_grad_(), right.requires_grad_()

    def product(a, b):
        return products.multiply_in_blocks(a, b, (2, 3, 4, 5))

    due = (left @ right).reshape(2, 3, 4, 5).transpose(1, 2)
    torch.testing.assert_close(product(left, right), due, rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(product, leaves)
    assert torch.autograd.gradgradcheck(product, leaves)
    # Gradients for several directions at once.
    seeds = torch.randn(4, *due.shape, dtype=torch.float64)
    batched = torch.autograd.grad(product(left, right), leaves, seeds, is_grads_batched=True)
    for k, seed in enumerate(seeds):
        for found, one in zip(batched, torch.autograd.grad(due, leaves, seed, retain_graph=True), strict=True):
            torch.testing.assert_close(found[k], one)
    for own in leaves:
        # One side alone, as where the other is frozen.
        (found,) = torch.autograd.grad(product(*(leaf if leaf is own else leaf.detach() for leaf in leaves)).sum(), own)
        torch.testing.assert_close(found, torch.autograd.grad(due.sum(), own, retain_graph=True)[0])


@pytest.mark.parametrize("long", [0, arrange.LONG])
@pytest.mark.parametrize(
    ("shape", "axes", "whole", "kept"),
    [
        ((4, 3, 8), (1, 0, 2), (12, 8), (12, 8)),
        ((4, 3, 8), (1, 0, 2), (12, 8), (10, 8)),
        # Runs of 8 of which the last one is cut to 4: runs of 4.
        ((4, 3, 8), (1, 0, 2), (4, 24), (3, 20)),
        ((4, 3, 8), (1, 0, 2), (4, 24), (4, 19)),
        ((4, 3, 8), (2, 0, 1), (8, 3, 4), (7, 3, 3)),
        ((4, 3, 8), (2, 1, 0), (96,), (50,)),
        (None, None, (6, 4, 4), (5, 3, 4)),
        (None, None, (6, 16), (6, 12)),
        (None, None, (6, 16), (6, 16)),
    ],
)
def test_arrays_are_moved_and_cropped_at_once(shape, axes, whole, kept, long, monkeypatch):
    # Where all runs are long ones, one is done after the other.
    monkeypatch.setattr(arrange, "LONG", long)
    monkeypatch.setattr(arrange, "MOST", 0)
    items = torch.arange(96.0, dtype=torch.float64)
    moved = items if shape is None else items.reshape(shape).permute(axes)
    due = moved.reshape(whole)[tuple(map(slice, kept))]
    move = None
    if shape is not None:
        move = find_move(range(3), axes, sizes=dict(enumerate(shape)))
    found = arrange.move_and_crop(items.numpy(), move, whole, kept)
    assert found.shape == kept
    torch.testing.assert_close(torch.from_numpy(found), due, rtol=0, atol=0)
    # The inverse, zeros where entries are left out.
    back = torch.from_numpy(arrange.move_back_and_fill(found, move, whole, kept)).reshape(-1)
    left_out = torch.ones(96, dtype=torch.bool)
    left_out[due.reshape(-1).long()] = False
    torch.testing.assert_close(back, items.masked_fill(left_out, 0), rtol=0, atol=0)
