"""What a contraction costs: multiply-adds, bytes moved and calls, in seconds of a typical machine.

Only ratios count: the figures choose between ways, they promise no time.
"""

from __future__ import annotations

import math

from adqc.engine.columns import Columns
from adqc.engine.patches import Patches
from adqc.engine.pieces import Piece, Step
from adqc.engine.program import Program
from adqc.engine.train import Train
from adqc.engine.windows import Windows

# Measured on two cores in float32; see benchmarks/.
CALL = 3e-6  # seconds for each call into torch
RATE = 6e10  # multiply-adds a second in products with long sides
BYTES = 1.2e10  # bytes a second, read and written, in copies and from memory
CACHE = 2**25  # bytes; what is smaller and used again is read at the rate below
CACHED = 4e10  # bytes a second
LARGE = 2**24  # bytes of one tensor from which on it does not stay in the cache beside others
ELEMENT = 4
# What compiled loops take beside these, a backward pass counted in: of gates, of moving entries into windows and out of
# them, of products, and of two pieces one after the other.
LOOPED, WINDOWED, PLACED, PAIRED = 0.9, 3.0, 0.65, 0.6
DENSE = 0.7  # what a product with a weight that is there takes beside these, and in compiled loops
DENSE_LOOPED, FEWEST = 0.4, 16  # from so many inputs on


def product(rows: int, columns: int, rest: int) -> float:
    """One matrix product, (rows, columns) x (columns, rest)."""
    # Short sides keep the units half empty.
    short = min(rows, columns, rest)
    return CALL + rows * columns * rest / RATE * (1 + 8 / short)


def placed(rows: int, columns: int, rest: int) -> float:
    """The same in compiled loops."""
    return CALL + PLACED * rows * columns * rest / RATE


def copy(count: int, run: int = 16, *, fresh: bool = False) -> float:
    """Moving the axes of a tensor of ``count`` entries, ``run`` of which stay together; one that has just been made may
    still lie in the cache."""
    rate = CACHED if fresh and ELEMENT * count < LARGE else BYTES
    return CALL + 2 * ELEMENT * count / rate * (1 + 2 / run)


def another(count: int) -> float:
    """One more tensor of ``count`` entries between two steps, beside what is done to it.

    A large one comes from memory, fresh from the system, and for the backward pass it is made once more.
    """
    return 3 * copy(count) if ELEMENT * count >= LARGE else 0.0


def step_cost(step: Step) -> float:
    """One block applied."""
    rows = step.rows
    entries = step.before * step.columns * step.behind
    moved = 2 * ELEMENT * entries / (CACHED if ELEMENT * entries < CACHE else BYTES) + another(entries)
    if step.move is not None:
        moved += copy(entries, step.move.run)
    if step.before == 1:
        return moved + CALL + product(rows, step.columns, step.behind)
    if step.flipped:
        turning = 2 * copy(entries)
        return moved + turning + CALL + product(step.before * step.behind, step.columns, rows)
    if step.widened or step.behind == 1:
        widening = copy(rows * step.columns * step.behind**2) if step.widened else 0.0
        return moved + widening + CALL + product(rows * step.behind, step.columns * step.behind, step.before)
    return moved + CALL + batched(step.before, rows, step.columns, step.behind)


def piece_cost(piece: Piece) -> float:
    """All blocks of a piece, and its last move."""
    found = sum(step_cost(step) for step in piece.steps)
    if piece.move is not None:
        left, sites, right = piece.shape
        # Behind axes that stay ahead, entries are looked up.
        found += copy(
            left * sites * right, piece.move.run if piece.move.axes[0] else max(16, piece.move.run), fresh=True
        )
    return found


def windows_cost(windows: Windows) -> float:
    """All gates on a whole state in loops."""
    found = 0.0
    for start, end, before, rows, behind, *_ in windows.windows.values:
        entries = windows.planes * before * rows * behind
        # From memory they come as fast.
        moved = 2 * ELEMENT * entries / CACHED
        found += WINDOWED * moved + LOOPED * (end - start) * windows.side * entries / RATE
    # Made again they take what a forward pass takes, a quarter of all.
    return CALL + (1.25 * found if windows.kept_at else found)


def program_cost(program: Program | Columns | Train | Patches) -> float:
    """All pieces, and the blocks that they are made of."""
    if isinstance(program, Patches):
        pairs = zip(program.pieces, program.patches, strict=True)
        # With bringing the axes into order; and joining pieces takes more calls than one state.
        return 6 * CALL + sum(
            windows_cost(patch.windows) + copy(math.prod(piece.sizes), fresh=True) for piece, patch in pairs
        )
    found = sum(piece_cost(piece) for piece in program.pieces)
    if isinstance(program, Train):
        return found + 4 * CALL + 2 * copy(len(program.places.values))
    if isinstance(program, Columns):
        # The last layer makes most entries; then they are brought into order.
        made = [program.count << len(own.axes[0]) for own in program.slices]
        return found + (12 * len(made) + 2 * program.depth) * CALL + sum(map(copy, made))
    calls = 8 * CALL
    for group in program.groups:
        rows, columns = group.shape
        entries = group.count * rows * columns
        found += calls + len(group.gates) * (calls + 4 * entries / RATE + 3 * ELEMENT * entries / BYTES)
    return found


def batched(items: int, rows: int, columns: int, rest: int) -> float:
    """``items`` products of one matrix, (rows, columns), with (columns, rest) each."""
    # A product alone starts in a call, one of many in a fraction of it.
    return product(rows, columns, rest) * items - (items - 1) * (CALL - 2e-7)


def spread(items: int, rows: int, columns: int, rest: int) -> float:
    """The same in compiled loops, which read the matrix again for each few columns."""
    size = ELEMENT * rows * columns
    return placed(rows, columns, items * rest) + size / (CACHED if size < CACHE else BYTES)


def dense(rows: int, columns: int, batch: int, *, use: str, in_loops: bool = False) -> float:
    """Using a weight that is there, of a linear layer in compiled loops or not."""
    if use == "lookup":
        return CALL + 2 * ELEMENT * batch * columns / CACHED
    # A dense layer reads its weight from memory, whatever the batch.
    size = ELEMENT * rows * columns
    looped = in_loops and use == "linear" and batch >= FEWEST
    passed = ELEMENT * batch * (rows + columns) / CACHED if use == "linear" else 0.0
    return (
        (DENSE_LOOPED if looped else DENSE) * product(rows, columns, batch)
        + size / (CACHED if size < CACHE else BYTES)
        + passed
    )
