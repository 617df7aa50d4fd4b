"""Small trains in compiled loops: the cores of all pieces in one call, and back in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from adqc.arrays import NumpyArray, fixed
from adqc.compiled import compiled
from adqc.engine.arrange import permute_axes
from adqc.engine.train import Train
from adqc.threads import find_team, split

# Multiply-adds of all cores up to which loops take less time than calls of a library.
SMALL = 2**16


class _Tables(NamedTuple):
    """What loops are told of a train.

    Args:
        steps: For each core its rows and columns, how many values all others have together, whether they lie behind
            these, where its entries begin in those of all cores, where what it is applied to begins, and where what
            comes of it.
        pieces: For each piece its first core and the one behind its last.
        ends: Where what each piece is in the end begins, and its size.
        openings: What each piece begins with.
        begins: For each piece where that lies.
        size: How many entries all that cores are applied to, and all that comes of the last ones, have.
    """

    steps: NumpyArray
    pieces: NumpyArray
    ends: tuple[tuple[int, int], ...]
    openings: tuple[NumpyArray, ...]
    begins: tuple[int, ...]
    size: int


def is_looped(train: Train) -> bool:
    """Whether it is small enough."""
    return _count(train) <= SMALL


@lru_cache(maxsize=256)
def _count(train: Train) -> int:
    return sum(step.rows * step.columns * step.before * step.behind for piece in train.pieces for step in piece.steps)


@lru_cache(maxsize=256)
def _make_tables(train: Train) -> _Tables:
    steps: list[tuple[int, ...]] = []
    pieces, ends, begins = [], [], []
    core = at = 0
    for piece, opening in zip(train.pieces, train.openings, strict=True):
        first = len(steps)
        begins.append(at)
        size = len(opening.values)
        for step in piece.steps:
            assert step.before * step.columns * step.behind == size, "cores follow one another"
            others = step.before * step.behind
            steps.append((step.rows, step.columns, others, int(step.before == 1), core, at, at + size))
            core += step.rows * step.columns
            at += size
            size = step.rows * others
        pieces.append((first, len(steps)))
        ends.append((at, size))
        at += size
    openings = tuple(np.array(opening.values) for opening in train.openings)
    return _Tables(np.array(steps, np.intp), np.array(pieces, np.intp), tuple(ends), openings, tuple(begins), at)


def run_train(
    gates: NumpyArray, train: Train, scale: NumpyArray
) -> tuple[list[NumpyArray], Callable[[Sequence[NumpyArray]], tuple[NumpyArray, NumpyArray]]]:
    """All pieces of a train.

    Args:
        gates: (G, 2^k, 2^k), real, or of their columns one in so many, as the train is for.
        train: How they are contracted.
        scale: (1,), multiplies the first piece.

    Returns:
        For each piece (left bonds, 2^sites, right bonds), and what makes the gradients of gates and scale of theirs.
    """
    tables, kind = _make_tables(train), scale.dtype
    places = fixed(train.places, gates, index=True)
    flat = np.ascontiguousarray(gates).reshape(-1)
    cores, met = np.empty(len(places), kind), np.empty(tables.size, kind)
    for begin, opening in zip(tables.begins, tables.openings, strict=True):
        met[begin : begin + len(opening)] = opening
    met[0] *= scale[0]
    team = find_team(tables.size)
    _run_(*team, flat, places, cores, met, tables.steps, tables.pieces)
    found = []
    for piece, (begin, size) in zip(train.pieces, tables.ends, strict=True):
        own = met[begin : begin + size]
        if piece.move is not None:
            own = permute_axes(own.reshape(1, -1), piece.move.shape, piece.move.axes)
        found.append(own.reshape(piece.sizes).transpose(piece.back))

    def pull(grads: Sequence[NumpyArray]) -> tuple[NumpyArray, NumpyArray]:
        pulled = np.empty(tables.size, kind)
        for grad, piece, (begin, size) in zip(grads, train.pieces, tables.ends, strict=True):
            own = grad.transpose(sorted(range(3), key=piece.back.__getitem__)).reshape(1, -1)
            if piece.move is not None:
                own = permute_axes(own, piece.move.shape_back, piece.move.axes_back)
            pulled[begin : begin + size] = own.reshape(-1)
        own_gates = np.zeros(len(flat), kind)
        _pull_(*team, own_gates, places, cores, np.empty_like(cores), met, pulled, tables.steps, tables.pieces)
        return own_gates.reshape(gates.shape), pulled[:1]

    return found, pull


@compiled
def _run_(
    addresses: Any, number: int, count: int, gates: Any, places: Any, cores: Any, met: Any, steps: Any, pieces: Any
) -> None:
    if number < 0:
        for k in range(len(places)):
            cores[k] = gates[places[k]]
        split(addresses, number, count)
        return
    for piece in range(number, len(pieces), count):
        for k in range(pieces[piece, 0], pieces[piece, 1]):
            rows, columns, others, behind, core, at, to = steps[k]
            own = cores[core : core + rows * columns].reshape(rows, columns)
            if behind:
                _multiply_(
                    own,
                    met[at : at + columns * others].reshape(columns, others),
                    met[to : to + rows * others].reshape(rows, others),
                )
            else:
                _multiply_(
                    met[at : at + columns * others].reshape(others, columns),
                    own.T.copy(),
                    met[to : to + rows * others].reshape(others, rows),
                )


@compiled
def _multiply_(left: Any, right: Any, found: Any) -> None:
    """(m, k) x (k, n)."""
    for i in range(left.shape[0]):
        row = found[i]
        row[:] = 0
        for k in range(left.shape[1]):
            number, other = left[i, k], right[k]
            for j in range(len(row)):
                row[j] += number * other[j]


@compiled
def _pull_(
    addresses: Any, number: int, count: int, found: Any, places: Any, cores: Any, grads: Any, met: Any, pulled: Any,
    steps: Any, pieces: Any,
) -> None:  # fmt: skip
    if number < 0:
        split(addresses, number, count)
        for k in range(len(places)):
            found[places[k]] = grads[k]
        return
    for piece in range(number, len(pieces), count):
        for k in range(pieces[piece, 1] - 1, pieces[piece, 0] - 1, -1):
            rows, columns, others, behind, core, at, to = steps[k]
            own = cores[core : core + rows * columns].reshape(rows, columns)
            grad = grads[core : core + rows * columns].reshape(rows, columns)
            x, back = met[at : at + columns * others], pulled[at : at + columns * others]
            y = pulled[to : to + rows * others]
            if behind:
                _multiply_turned_(y.reshape(rows, others), x.reshape(columns, others), grad)
                _multiply_(own.T.copy(), y.reshape(rows, others), back.reshape(columns, others))
            else:
                turned = np.zeros((columns, rows), grad.dtype)
                ours, theirs = x.reshape(others, columns), y.reshape(others, rows)
                for b in range(others):
                    for c in range(columns):
                        for r in range(rows):
                            turned[c, r] += ours[b, c] * theirs[b, r]
                for r in range(rows):
                    for c in range(columns):
                        grad[r, c] = turned[c, r]
                _multiply_(theirs, own, back.reshape(others, columns))


@compiled
def _multiply_turned_(left: Any, right: Any, found: Any) -> None:
    """(m, n) x (k, n), the latter transposed."""
    for i in range(left.shape[0]):
        for k in range(right.shape[0]):
            total = left[i, 0] * right[k, 0]
            for j in range(1, left.shape[1]):
                total += left[i, j] * right[k, j]
            found[i, k] = total
