"""Vectors of neighbouring entries for compiled loops, as wide as the machine's own.

A compiler that has to find them by itself checks ahead of each loop whether arrays overlap, and adds up sums behind it:
for short loops that is most of what they take.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from adqc.compiled import Made

# Bytes of a vector where the machine has such ones, and elsewhere.
WIDE, NARROW = 64, 32
# How many entries are copied at once.
UNITS = 1, 2, 4


def count_entries(itemsize: int) -> int:
    """How many entries of so many bytes a vector has."""
    return _find_bytes() // itemsize


@cache
def _find_bytes() -> int:
    from llvmlite import binding
    from numba import config

    # What numba has been told to compile for counts, not what the machine has.
    told = config.CPU_FEATURES  # type: ignore[attr-defined]
    has = binding.get_host_cpu_features().get("avx512f", False) if told is None else "+avx512f" in told
    return WIDE if has else NARROW


@cache
def _make_all() -> dict[str, Any]:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic, models, register_model

    class Vector(types.Type):
        def __init__(self, entry: Any) -> None:
            self.entry, self.count = entry, count_entries(entry.bitwidth // 8)
            super().__init__(name=f"Vector({entry}, {self.count})")

    class Model(models.PrimitiveModel):
        def __init__(self, manager: Any, kind: Any) -> None:
            entry = manager.lookup(kind.entry).get_value_type()
            super().__init__(manager, kind, ir.VectorType(entry, kind.count))  # type: ignore[no-untyped-call]

    register_model(Vector)(Model)
    # Sums may be taken in any order, as in all compiled loops.
    flags = ("reassoc", "contract", "nsz")

    def find_place(context: Any, builder: Any, kind: Any, items: Any, at: Any) -> Any:
        place = builder.gep(context.make_array(kind)(context, builder, items).data, [at])
        return builder.bitcast(place, context.get_value_type(Vector(kind.dtype)).as_pointer())

    def shuffle(builder: Any, one: Any, other: Any, places: Sequence[int]) -> Any:
        return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))

    def repeated(builder: Any, kind: Any, number: Any) -> Any:
        nothing = ir.Constant(kind, ir.Undefined)
        one = builder.insert_element(nothing, number, ir.IntType(32)(0))
        return shuffle(builder, one, nothing, [0] * kind.count)

    @intrinsic
    def load(typing: Any, items: Any, at: Any) -> Any:
        def make(context: Any, builder: Any, _: Any, given: Any) -> Any:
            return builder.load(find_place(context, builder, items, *given), align=items.dtype.bitwidth // 8)

        return Vector(items.dtype)(items, types.intp), make

    @intrinsic
    def store(typing: Any, items: Any, at: Any, vector: Any) -> Any:
        def make(context: Any, builder: Any, _: Any, given: Any) -> Any:
            place = find_place(context, builder, items, *given[:2])
            builder.store(given[2], place, align=items.dtype.bitwidth // 8)
            return context.get_dummy_value()

        return types.void(items, types.intp, vector), make

    @intrinsic
    def repeat(typing: Any, items: Any, at: Any) -> Any:
        def make(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            place = builder.gep(context.make_array(items)(context, builder, given[0]).data, [given[1]])
            return repeated(builder, context.get_value_type(signature.return_type), builder.load(place))

        return Vector(items.dtype)(items, types.intp), make

    @intrinsic
    def fill(typing: Any, number: Any) -> Any:
        def make(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            return repeated(builder, context.get_value_type(signature.return_type), given[0])

        return Vector(number)(number), make

    @intrinsic
    def plus(typing: Any, one: Any, other: Any) -> Any:
        def make(context: Any, builder: Any, _: Any, given: Any) -> Any:
            return builder.fadd(*given, flags=flags)

        return one(one, one), make

    @intrinsic
    def times_plus(typing: Any, one: Any, other: Any, more: Any) -> Any:
        def make(context: Any, builder: Any, _: Any, given: Any) -> Any:
            return builder.fadd(builder.fmul(given[0], given[1], flags=flags), given[2], flags=flags)

        return one(one, one, one), make

    @intrinsic
    def total(typing: Any, vector: Any) -> Any:
        def make(context: Any, builder: Any, _: Any, given: Any) -> Any:
            kind = given[0].type
            name = f"llvm.vector.reduce.fadd.v{kind.count}f{vector.entry.bitwidth}"
            asks = ir.FunctionType(kind.element, [kind.element, kind])
            add_up = builder.module.globals.get(name) or ir.Function(builder.module, asks, name)
            return builder.call(add_up, [kind.element(0.0), given[0]], fastmath=flags)

        return vector.entry(vector), make

    @intrinsic
    def copy_(typing: Any, items: Any, at: Any, found: Any, to: Any, unit: Any) -> Any:
        def make(context: Any, builder: Any, _: Any, given: Any) -> Any:
            source, first, target, begin, some = given
            size = context.get_abi_sizeof(context.get_value_type(items.dtype))
            arrays = (items, source, first), (found, target, begin)
            places = [builder.gep(context.make_array(kind)(context, builder, own).data, [k]) for kind, own, k in arrays]
            for count in UNITS:
                with builder.if_then(builder.icmp_signed("==", some, some.type(count))):
                    # Numbers of so many bits, as those that are complex have no vectors.
                    bits = ir.IntType(8 * count * size).as_pointer()
                    one, other = (builder.bitcast(place, bits) for place in places)
                    builder.store(builder.load(one, align=min(size, 4)), other, align=min(size, 4))
            return context.get_dummy_value()

        return types.void(items, types.intp, found, types.intp, types.intp), make

    @intrinsic
    def transpose_(typing: Any, items: Any, at: Any, step: Any, found: Any, to: Any, line: Any) -> Any:
        def make(context: Any, builder: Any, _: Any, given: Any) -> Any:
            source, first, apart, target, begin, length = given
            count = Vector(items.dtype).count
            size = items.dtype.bitwidth // 8

            def place(kind: Any, array: Any, start: Any, stride: Any, number: int) -> Any:
                return find_place(
                    context, builder, kind, array, builder.add(start, builder.mul(stride, stride.type(number)))
                )

            rows = [builder.load(place(items, source, first, apart, k), align=size) for k in range(count)]
            for half in (2**k for k in range(count.bit_length() - 1)):
                for k in range(count):
                    if k & half:
                        continue
                    one, other = rows[k], rows[k + half]
                    rows[k] = shuffle(
                        builder, one, other, [j if not j & half else count + j - half for j in range(count)]
                    )
                    rows[k + half] = shuffle(
                        builder, one, other, [j + half if not j & half else count + j for j in range(count)]
                    )
            for k, row in enumerate(rows):
                builder.store(row, place(found, target, begin, length, k), align=size)
            return context.get_dummy_value()

        return types.void(items, types.intp, types.intp, found, types.intp, types.intp), make

    made: tuple[Any, ...] = (load, store, repeat, fill, plus, times_plus, total, transpose_, copy_)
    return {own.__name__: own for own in made}


def _make(name: str) -> Any:
    return _make_all()[name]


# load(items, at): a flat array's entries from there on. store(items, at, vector): the inverse. repeat(items, at): so
# many times the entry there. fill(number): the same of a number. plus(one, other): their sum. times_plus(one, other,
# more): one · other + more. total(vector): the sum of its entries. transpose_(items, at, step, found, to, line): as
# many rows as a vector has entries, so far apart in a flat array, become columns of rows in another. copy_(items, at,
# found, to, unit): one of UNITS, so many entries from one flat array of any numbers into another.
load, store, repeat, fill, plus, times_plus, total, transpose_, copy_ = (
    Made(partial(_make, name))
    for name in ("load", "store", "repeat", "fill", "plus", "times_plus", "total", "transpose_", "copy_")
)
