"""Windows of sites: which gates act in them, in which order, and for how many values at once."""

from __future__ import annotations

import math

import pytest

from adqc.engine.windows import WIDEST, find_windows, lay_windows, split_kept
from adqc.geometry import Wiring, brick_wall, layout, staircase


def chain(sites, *gates):
    return Wiring(sites, tuple(gates), (len(gates),))


WIRINGS = [
    brick_wall(2, 1),
    brick_wall(7, 3),
    brick_wall(16, 12),
    brick_wall(9, 30),
    staircase(11, 3),
    staircase(10, 2, width=3),
    staircase(12, 1, width=5, stride=2),
    chain(8, (0, 1, 2, 3, 4, 5, 6, 7), (2, 3, 4), (1, 2, 3)),
]


@pytest.mark.parametrize("wiring", WIRINGS, ids=lambda wiring: f"{wiring.sites}-{len(wiring.gates)}")
def test_each_gate_acts_once_within_its_window_and_behind_those_it_needs(wiring):
    sites = wiring.sites
    windows = find_windows(wiring, layout((2**sites,)), range(sites))
    taken = windows.gates.values
    assert sorted(number for number, *_ in taken) == list(range(len(wiring.gates)))
    place = {number: at for at, (number, *_) in enumerate(taken)}
    for own in wiring.wires:
        assert [place[gate] for gate in own] == sorted(place[gate] for gate in own)
    ends = [0]
    for start, end, before, rows, behind, given, _ in windows.windows.values:
        assert start == ends[-1] < end
        ends.append(end)
        assert before * rows * behind == 2**sites
        assert given == rows <= 2 ** max(WIDEST, *map(len, wiring.gates))
        first = before.bit_length() - 1
        for number, beyond, far in taken[start:end]:
            gate = wiring.gates[number]
            assert first <= gate[0]
            assert 2 ** (sites - gate[-1] - 1) == beyond * behind
            assert far == 2 * beyond
    assert ends[-1] == len(taken)


def test_a_window_takes_all_that_can_act_in_it():
    # All layers of a chain that is no longer than a window, and the light cone of a longer one.
    assert len(find_windows(brick_wall(WIDEST, 9), layout((2**WIDEST,)), range(WIDEST)).windows.values) == 1
    found = find_windows(brick_wall(16, 12), layout((256, 256)), range(16)).windows.values
    assert len(found) == 9
    assert all(window.end - window.start >= 9 for window in found[:-3])


def test_what_the_backward_pass_keeps_is_a_state_for_each_window():
    found = find_windows(brick_wall(16, 12), layout((256, 256)), range(16))
    assert found.size == 9 * 2**16


@pytest.mark.parametrize("wiring", WIRINGS, ids=lambda wiring: f"{wiring.sites}-{len(wiring.gates)}")
def test_sites_come_with_their_first_gates(wiring):
    windows = find_windows(wiring, layout((2**wiring.sites,)), range(wiring.sites), zeros=True)
    sources = windows.sources.values
    there = windows.begins
    assert there == 1
    for window in windows.windows.values:
        assert window.before * window.given * window.behind == there
        there = window.before * window.rows * window.behind
        own = [source for source, again in sources[window.sources : window.sources + window.rows] if source >= 0]
        assert own == list(range(window.given))
    assert there == 2**wiring.sites
    sizes = [window.before * window.rows * window.behind for window in windows.windows.values]
    assert sizes == sorted(sizes)
    assert windows.size == sum(sizes)


def test_sites_without_gates_are_there_from_the_beginning():
    windows = find_windows(chain(4, (1, 2)), layout((16,)), range(4), zeros=True)
    assert windows.begins == 4
    assert windows.windows.values == ((0, 1, 2, 4, 2, 1, 0),)
    assert windows.sources.values == ((0, 0), (-1, 0), (-1, 0), (-1, 0))


def test_a_copied_axis_is_added_up_on_the_way_back():
    # A gate on one axis that is there and on the copy of another.
    windows = lay_windows([(0, 1)], 3, [0], {1: 2}, None, (8,), (8,))
    assert windows.begins == 2
    assert windows.windows.values == ((0, 1, 1, 8, 1, 2, 0),)
    empty = (-1, 0)
    assert windows.sources.values == ((0, 0), empty, empty, (0, 1), (1, 0), empty, empty, (1, 1))
    assert windows.gates.values == ((0, 2, 4),)


def test_axes_too_far_apart_have_no_window():
    assert lay_windows([(0, WIDEST - 1)], WIDEST, range(WIDEST), {}, None, (1,), (1,)) is not None
    assert lay_windows([(0, WIDEST)], WIDEST + 1, range(WIDEST + 1), {}, None, (1,), (1,)) is None
    assert lay_windows([(0, 1)], WIDEST + 1, [0], {1: WIDEST}, None, (1,), (1,)) is None


def test_where_much_would_be_kept_it_is_that_of_few_windows(monkeypatch):
    wiring, weights = brick_wall(16, 12), layout((256, 256))
    monkeypatch.setattr("adqc.engine.windows.MOST", 9 * 2**16)
    assert find_windows(wiring, weights, range(16)).kept_at == ()
    monkeypatch.setattr("adqc.engine.windows.MOST", 9 * 2**16 - 1)
    assert find_windows(wiring, weights, range(16)).kept_at == (0, 8)
    # Never fewer than the root of all are made again at once.
    monkeypatch.setattr("adqc.engine.windows.MOST", 0)
    found = find_windows(wiring, weights, range(16))
    assert found.kept_at == (0, 3, 6)
    assert found.size == (3 + 2) * 2**16
    monkeypatch.setattr("adqc.engine.windows.LARGEST", 2**16 - 1)
    assert find_windows(wiring, weights, range(16)) is None


@pytest.mark.parametrize("zeros", [True, False])
def test_stretches_of_windows_are_windows(monkeypatch, zeros):
    monkeypatch.setattr("adqc.engine.windows.MOST", 0)
    windows = find_windows(brick_wall(12, 12), layout((60, 60)), range(12), zeros=zeros)
    parts = split_kept(windows)
    assert len(parts) == len(windows.kept_at) > 1
    assert sum((part.gates.values for part in parts), ()) == windows.gates.values
    assert sum(len(part.windows.values) for part in parts) == len(windows.windows.values)
    assert [part.begins for part in parts[1:]] == [math.prod(part.shape) for part in parts[:-1]]
    assert (parts[-1].move, parts[-1].shape, parts[-1].kept) == (windows.move, windows.shape, windows.kept)


def test_sites_may_lie_in_another_order():
    weights = layout((8, 8))
    wiring = chain(6, (2, 3), (1, 2), (3, 4))
    order = [0, 5, 1, 2, 3, 4]
    found = find_windows(wiring, weights, order)
    # The third place and those behind it; two values lie ahead of each.
    assert [window[:6] for window in found.windows.values] == [(0, 3, 4, 16, 1, 16)]
    assert sorted(found.gates.values) == [(0, 2, 4), (1, 4, 8), (2, 1, 2)]
    # The state's bits move into the weight's order, whichever that is.
    assert find_windows(wiring, layout((64,)), range(6)).move is None
    assert found.move is not None


@pytest.mark.parametrize(
    ("wiring", "order"),
    [
        (chain(3), range(3)),
        (chain(3, (0, 1), (1,)), range(3)),
        (chain(3, (0, 1), (1, 2)), [0, 2, 1]),
        (chain(3, (0, 1)), [1, 0, 2]),
    ],
    ids=["no gate", "one site", "apart", "turned"],
)
def test_others_have_none(wiring, order):
    assert find_windows(wiring, layout((2, 4)), order) is None
