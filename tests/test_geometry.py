"""Wirings and layouts: where gates sit, and which site carries which bit."""

from __future__ import annotations

import copy
import math
import pickle
from itertools import pairwise

import pytest

from adqc.geometry import LAYOUTS, WIRINGS, Layout, Wiring, axis_bits, brick_wall, layout, staircase, wire


@pytest.mark.parametrize("depth", range(1, 8))
@pytest.mark.parametrize("sites", range(1, 9))
def test_brick_wall_alternates_even_and_odd_rows(sites, depth):
    wiring = brick_wall(sites, depth)
    assert len(wiring.gates) == sum((sites - layer % 2) // 2 for layer in range(depth))
    assert len(wiring.layers) == depth
    for gate, layer in zip(wiring.gates, wiring.layer_of, strict=True):
        assert gate[0] % 2 == layer % 2
        assert gate[1] == gate[0] + 1 < sites


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("sites", range(1, 7))
def test_staircase_sweeps_the_chain_from_its_first_site(sites, depth):
    wiring = staircase(sites, depth)
    assert wiring.gates == tuple((s, s + 1) for s in range(sites - 1)) * depth
    assert wiring.layers == (sites - 1,) * depth


@pytest.mark.parametrize("width", [3, 4, 5, 6])
@pytest.mark.parametrize("sites", [3, 6, 7, 12, 17])
def test_a_brick_wall_of_wide_gates_shifts_every_other_layer_by_half(sites, width):
    wiring = brick_wall(sites, 4, width=width)
    at = 0
    for layer, count in enumerate(wiring.layers):
        first = layer % 2 * (width // 2)
        assert count == max(0, (sites - first) // width)
        for gate in wiring.gates[at : at + count]:
            assert gate == tuple(range(first, first + width))
            first += width
        at += count
    assert at == len(wiring.gates)


@pytest.mark.parametrize("width", [3, 4, 5, 6])
def test_a_staircase_of_wide_gates_is_spread_evenly_over_the_chain(width):
    for sites in range(width, 25):
        for stride in range(1, width):
            wiring = staircase(sites, 2, width=width, stride=stride)
            steps = wiring.layers[0] - 1
            assert wiring.layers == (steps + 1,) * 2
            assert wiring.gates[steps + 1 :] == wiring.gates[: steps + 1]
            # From the first site to the last, in as few steps as the stride allows, neighbours with a site in common.
            firsts = [gate[0] for gate in wiring.gates[: steps + 1]]
            assert all(gate == tuple(range(gate[0], gate[0] + width)) for gate in wiring.gates)
            assert (firsts[0], firsts[-1]) == (0, sites - width)
            assert steps == math.ceil((sites - width) / stride)
            taken = [b - a for a, b in pairwise(firsts)]
            assert all(1 <= step <= stride for step in taken)
            assert max(taken, default=1) - min(taken, default=1) <= 1


def test_wide_staircases_by_hand():
    assert staircase(7, 1, width=3, stride=2).gates == ((0, 1, 2), (2, 3, 4), (4, 5, 6))
    assert staircase(5, 1, width=3).gates == ((0, 1, 2), (1, 2, 3), (2, 3, 4))
    assert staircase(3, 2, width=3, stride=2).gates == ((0, 1, 2),) * 2
    assert staircase(4, 1, width=3, stride=2).gates == ((0, 1, 2), (1, 2, 3))


def test_what_a_wiring_knows_of_its_gates():
    wiring = brick_wall(5, 2)
    assert wiring.gates == ((0, 1), (2, 3), (1, 2), (3, 4))
    assert wiring.layer_of == (0, 0, 1, 1)
    assert wiring.fresh == ((True, True), (True, True), (False, False), (False, True))
    assert wiring.wires == ((0,), (0, 2), (1, 2), (1, 3), (3,))
    assert wiring.moments == ((0, 1), (2, 3))
    # Three gates of a staircase lie below each other, but those of the next sweep start before the first has ended.
    assert staircase(4, 2).moments == ((0,), (1,), (2, 3), (4,), (5,))


def test_gates_on_three_and_four_sites_are_not_forbidden():
    wiring = Wiring(5, ((0, 1, 2), (1, 2, 3, 4)), (1, 1))
    assert wiring.fresh == ((True,) * 3, (False, False, True, True))
    assert wiring.moments == ((0,), (1,))


def test_wire_knows_the_names():
    for kind in WIRINGS:
        assert wire(kind, 4, 2).sites == 4
    assert wire("brick-wall", 9, 2, width=4) == brick_wall(9, 2, width=4)
    assert wire("staircase", 9, 2, width=4, stride=3) == staircase(9, 2, width=4, stride=3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: wire("ring", 4, 2), "unknown wiring 'ring': use one of brick-wall, staircase"),
        (lambda: wire("brick-wall", 4, 0), "depth .* at least 1, got 0"),
        (lambda: wire("staircase", 2, 1, width=3), "gates on 3 qubits need .* at least 8 entries, got 2 qubits"),
        (lambda: wire("brick-wall", 5, 1, width=6), "gates on 6 qubits need .* at least 64 entries, got 5 qubits"),
        (lambda: brick_wall(0, 1), "at least 1 site, got 0"),
        (lambda: Wiring(3, ((0, 2),), (1,)), r"neighbouring sites .* got \(0, 2\)"),
        (lambda: Wiring(3, ((1, 0),), (1,)), r"in rising order, got \(1, 0\)"),
        (lambda: Wiring(3, ((2, 3),), (1,)), r"got \(2, 3\)"),
        (lambda: Wiring(3, ((),), (1,)), r"got \(\)"),
        (lambda: Wiring(3, ((0, 1),), (2,)), "hold 2 gates, but the sequence has 1"),
        (lambda: layout((4, 0)), r"at least one entry, got shape \(4, 0\)"),
        (lambda: layout(()), r"at least one entry, got shape \(\)"),
        (lambda: layout((4, 4), "spiral"), "unknown layout 'spiral': use one of interleaved, grouped, rows-first"),
        (lambda: layout((4, 4), (0, 1, 2, 2)), r"permutation of 0…3, got \(0, 1, 2, 2\)"),
        (lambda: layout((4, 4), (0, 1, 2)), r"permutation of 0…3, got \(0, 1, 2\)"),
    ],
)
def test_bad_geometry_gets_one_sentence(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 1000, 1024, 1025])
def test_an_axis_takes_the_bits_it_needs(size):
    (bits,) = axis_bits((size,))
    assert 2**bits >= size > 2**bits / 2
    assert bits == math.ceil(math.log2(size))


def test_interleaved_takes_the_axes_bits_in_turns():
    assert layout((4, 4)).order == (0, 2, 1, 3)
    assert layout((8, 2)).order == (0, 3, 1, 2)
    assert layout((2, 8)).order == (0, 1, 2, 3)
    assert layout((4, 1, 3, 2)).order == (0, 2, 4, 1, 3)


def test_rows_first_and_explicit_orders():
    assert layout((4, 4), "rows-first").order == (0, 1, 2, 3)
    assert layout((16, 256), "grouped").order == (0, 1, 4, 5, 6, 2, 3, 7, 8, 9, 10, 11)
    assert layout((16, 6, 5, 5), "grouped").order == (0, 1, 4, 5, 6, 2, 3, 7, 8, 9, 10, 11, 12)
    assert layout((4, 4), [3, 1, 0, 2]) == Layout((4, 4), (3, 1, 0, 2))


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_weight_of_one_entry_still_has_a_qubit(kind):
    assert layout((1, 1), kind) == Layout((1, 1), (0,))
    assert layout((1, 1), kind).padded == (1, 2)


def test_padded_rounds_every_axis_up():
    assert layout((5, 1, 8)).padded == (8, 1, 8)
    assert layout((5, 1, 8)).bits == (3, 0, 3)


def test_equal_wirings_have_equal_hashes_wherever_they_come_from():
    wiring = brick_wall(7, 4)
    for twin in (brick_wall(7, 4), pickle.loads(pickle.dumps(wiring)), copy.deepcopy(wiring)):
        assert twin == wiring
        assert hash(twin) == hash(wiring)
    assert brick_wall(7, 5) != wiring
