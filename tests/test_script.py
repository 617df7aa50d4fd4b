"""What loops are told of a circuit: that it is all there, and where things lie."""

from __future__ import annotations

import numpy as np
import pytest

from adqc.engine import script
from adqc.engine.join import make_join
from adqc.engine.patches import make_patches
from adqc.engine.script import script_patches, script_windows
from adqc.engine.split import halves
from adqc.engine.windows import find_windows
from adqc.geometry import brick_wall, layout

DOUBLE = np.dtype(np.float64)


def test_a_state_that_lies_as_it_shall_is_not_moved():
    wiring, weights = brick_wall(12, 4), layout((64, 64), "rows-first")
    windows = find_windows(wiring, weights, range(12))
    found = script_windows(windows, DOUBLE)
    gates, spans, sources, states, moves, high, low = found.tables
    assert sorted(gates[:, 0]) == list(range(len(wiring.gates)))
    assert [tuple(own) for own in spans] == [tuple(own) for own in windows.windows.values]
    assert len(sources) == sum(own[3] for own in windows.windows.values)
    assert states.tolist() == [[0, len(spans), 0, 0, 0]]
    assert moves.tolist() == [[0, 0, 0, 0, 0, 0]]
    assert len(high) == len(low) == found.last == 0
    # What the last window makes is the result, and not kept beside it.
    assert found.made == windows.size - 2**12
    assert found.shapes == ((64, 64),)
    assert not found.cropped


@pytest.mark.parametrize(("shape", "cropped"), [((64, 64), False), ((60, 64), True)])
def test_one_that_is_moved_or_cropped_says_where_its_entries_come_from(shape, cropped):
    windows = find_windows(brick_wall(12, 4), layout(shape), range(12))
    found = script_windows(windows, DOUBLE)
    *_, ((_, count, _, others, unit, place),), high, low = found.tables
    origins = np.add.outer(high, low) * unit
    assert (count, others, place) == (len(high), len(low), 0)
    assert origins.size * unit == np.prod(shape)
    assert len(np.unique(origins)) == origins.size
    assert origins.max() < 2**12 == found.last
    assert found.cropped == cropped


def make_halves(shape, depth, order):
    weights = layout(shape, order)
    wiring = brick_wall(weights.sites, depth)
    made = [make_patches(wiring, split, ranks=weights.order) for split in halves(wiring)]
    return [(own, make_join(own.pieces, weights)) for own in made if own is not None]


def test_sides_of_a_product_lie_one_behind_the_other_the_left_one_first():
    seen = set()
    for patches, join in make_halves((200, 60), 4, (8, 9, 10, 11, 12, 13, 0, 1, 2, 3, 4, 5, 6, 7)):
        found = script_patches(patches, join, DOUBLE)
        begins = found.tables[4][:, 5].tolist()
        assert begins == ([found.bounds[1], 0] if join.swapped else [0, found.bounds[1]])
        assert found.bounds[0] == 0
        bonds = patches.pieces[0].shape[2]
        if found.places is None:
            (rows, first), (second, columns) = found.shapes
            assert first == second == bonds
            assert found.bounds == (0, rows * bonds, (rows + columns) * bonds)
        else:
            assert found.shapes == ((200, 60),)
            assert found.bounds[1] == len(found.places.rows) * bonds
        seen.add(join.swapped)
    assert seen == {False, True}


def test_pieces_without_a_product_keep_their_shapes():
    ((patches, _), *_) = make_halves((64, 64), 3, "interleaved")
    found = script_patches(patches, None, DOUBLE)
    assert found.places is None
    assert found.shapes == tuple(piece.shape for piece in patches.pieces)
    # Each begins with |0…0>.
    assert len(found.firsts) == 2
    assert found.begins == sum(patch.windows.begins for patch in patches.patches)


def test_products_over_many_bonds_are_a_librarys(monkeypatch):
    ((patches, join), *_) = make_halves((16, 64), 4, "rows-first")
    assert script_patches(patches, join, DOUBLE).places is not None
    monkeypatch.setattr(script, "MOST_BONDS", 4)
    script_patches.cache_clear()
    assert script_patches(patches, join, DOUBLE).places is None
    script_patches.cache_clear()


def test_it_is_written_once():
    windows = find_windows(brick_wall(8, 3), layout((16, 16)), range(8))
    assert script_windows(windows, DOUBLE) is script_windows(windows, DOUBLE)
    assert script_windows(windows, np.dtype(np.float32)) is not script_windows(windows, DOUBLE)
