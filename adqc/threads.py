"""Compiled loops in parts, side by side on the threads that torch's own operations take.

Between operations torch's threads wait in a loop, not asleep: so a call reaches them at once, and threads of any other
library would have to wait for their cores.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from adqc.arrays import NumpyArray
from adqc.compiled import Made

# Functions of GNU's OpenMP, which others have as well: what a team begins with, where its threads wait for one another,
# and which thread of how many one is.
NAMES = ("GOMP_parallel", "GOMP_barrier", "omp_get_thread_num", "omp_get_num_threads")
# Entries for each thread at least, for a loop that does a few operations on each.
GRAIN = 2**11
# So many multiply-adds of a product take as long as an entry there.
WORK = 16


class Team(NamedTuple):
    """Threads for a compiled loop, as its first arguments.

    Args:
        addresses: Where the functions :data:`NAMES` are.
        number: Negative, as none of them is meant.
        size: How many threads; with 1 the addresses are not used.
    """

    addresses: NumpyArray
    number: int
    size: int


def find_team(entries: int) -> Team:
    """As many threads as torch may use here, and as so many entries are worth."""
    addresses, process = _find_addresses()
    # A forked process has none of its parent's threads, and the library would wait for them.
    most = torch.get_num_threads() if process == os.getpid() else 1
    return Team(addresses, -1, max(1, min(most, entries // GRAIN)))


def shares_threads() -> bool:
    """Whether loops have as many threads here as torch's operations."""
    return torch.get_num_threads() == 1 or _find_addresses()[1] == os.getpid()


@cache
def _find_addresses() -> tuple[NumpyArray, int]:
    """Where the functions are, and the process that has asked first; no process where torch has other threads."""
    assert torch.__file__ is not None, "torch is no namespace"
    try:
        # What it depends on is searched, too: that is the library that torch calls, of which there may be others.
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        found = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in NAMES]
    except (OSError, AttributeError):
        return np.zeros(len(NAMES), np.intp), -1
    return np.array(found, np.intp), os.getpid()


def _make_split() -> Any:
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    def split(typing: Any, addresses: Any, number: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
            byte, int32 = ir.IntType(8).as_pointer(), ir.IntType(32)
            word = context.get_value_type(types.intp)
            starts = [ir.VoidType(), [ir.FunctionType(ir.VoidType(), [byte]).as_pointer(), byte, int32, int32]]
            asks = ir.FunctionType(int32, []).as_pointer()
            place, _, several = given
            # This very function: room for what it returns and raises, the addresses' parts, its number, and so on.
            function = builder.function
            own = list(function.args)
            at_number = 2 + len(context.get_arg_packer((addresses,)).argument_types)

            def call(at: Any, others: list[Any], numbers: list[Any]) -> None:
                room = [cgutils.alloca_once(at, one.type.pointee, zfill=True) for one in own[:2]]  # type: ignore[no-untyped-call]
                at.call(function, [*room, *others[: at_number - 2], *numbers, *others[at_number:]])

            table = context.make_array(addresses)(context, builder, place)
            found = [builder.load(builder.gep(table.data, [word(k)])) for k in (0, 2, 3)]
            with builder.if_else(builder.icmp_signed(">", several, word(1))) as (many, one):
                with many:
                    packed = cgutils.pack_struct(builder, [*own[2:], *found[1:]])  # type: ignore[no-untyped-call]
                    # What each thread does: it finds its arguments and its number.
                    kind = ir.FunctionType(ir.VoidType(), [byte])
                    body = ir.Function(builder.module, kind, builder.module.get_unique_name("part"))
                    body.linkage = "internal"
                    at = ir.IRBuilder(body.append_basic_block())
                    items = at.load(at.bitcast(body.args[0], packed.type.as_pointer()))
                    *others, first, second = [at.extract_value(items, k) for k in range(len(packed.type.elements))]
                    call(at, others, [at.zext(at.call(at.inttoptr(ask, asks), []), word) for ask in (first, second)])
                    at.ret_void()
                    start = builder.inttoptr(found[0], ir.FunctionType(*starts).as_pointer())
                    kept = cgutils.alloca_once_value(builder, packed)  # type: ignore[no-untyped-call]
                    builder.call(start, [body, builder.bitcast(kept, byte), builder.trunc(several, int32), int32(0)])
                with one:
                    call(builder, own[2:], [word(0), word(1)])
            return context.get_dummy_value()

        return types.void(addresses, number, count), generate

    return intrinsic(split)


def _make_wait() -> Any:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    def wait(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
            kind = ir.FunctionType(ir.VoidType(), []).as_pointer()
            builder.call(builder.inttoptr(given[0], kind), [])
            return context.get_dummy_value()

        return types.void(types.intp), generate

    return intrinsic(wait)


# split(addresses, number, count), for compiled loops whose first arguments these are, where the number is negative,
# that is, where Python has called: the same function on each thread of a team, number and count its own and how many
# there are; behind it all have ended. What a part returns or raises is lost.
split = Made(_make_split)
# wait(addresses[1]), in a part where its count is not 1: until all threads of the team are there.
wait = Made(_make_wait)
