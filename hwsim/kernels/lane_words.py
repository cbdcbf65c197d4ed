"""Lanes as words of 64 bits: bits of bytes, and how many of them words have in common."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pumice.hwsim.kernels import vector_ir as v


@intrinsic
def lane_bits(context: Any, address: Any, count: Any) -> Any:
    """A bit for each of the first `count` bytes, 1 to 64, at an address: whether it is not 0. Reads 64."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address, count = arguments
        rest = builder.sub(v.i64(64), count)
        return builder.lshr(builder.shl(_lane_bits(builder, address), rest), rest)

    return types.uint64(types.uintp, types.intp), build


@intrinsic
def count_common(context: Any, a: Any, b: Any) -> Any:
    """How many bits two words have in common."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(builder.and_(*arguments))

    return types.uint64(types.uint64, types.uint64), build


@intrinsic
def count_quads(context: Any, word: Any, others: Any, pairs: Any, out: Any, apart: Any, more: Any) -> Any:
    """How many bits a word has in common with each of others [pairs, 8] (uint64, by address), as bytes: four together, the next
    four `apart` bytes on. more: added to what is there."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        with builder.if_else(v.flag(builder, arguments[5])) as (added, alone):
            with added:
                _counts(builder, arguments, True)
            with alone:
                _counts(builder, arguments, False)
        return _context.get_dummy_value()

    return types.void(types.uint64, types.uintp, types.intp, types.uintp, types.intp, types.boolean), build


def _counts(b: Any, arguments: Any, add: bool) -> None:
    word, others, pairs, out, apart, _ = arguments
    kind, narrow, quad = (ir.VectorType(bits, count) for bits, count in ((v.I64, 8), (v.I8, 8), (v.I8, 4)))
    count = v.external(b, "llvm.ctpop.v8i64", kind, [kind])
    mine = v.splat(b, word, kind)

    def body(step: Any, _: list[Any]) -> list[Any]:
        both = b.and_(mine, v.load(b, others, b.shl(step, v.i64(6)), kind))
        counted, first = b.trunc(b.call(count, [both]), narrow), b.mul(b.shl(step, v.i64(1)), apart)
        for half, place in enumerate((first, b.add(first, apart))):
            four = v.shuffled(b, counted, counted, range(4 * half, 4 * half + 4))
            v.store(b, b.add(four, v.load(b, out, place, quad)) if add else four, out, place)
        return []

    v.accumulate(b, pairs, [], body)


@intrinsic
def word_at(context: Any, address: Any) -> Any:
    """The 64-bit integer at an address."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return v.load(builder, arguments[0], 0, v.I64, 8)

    return types.int64(types.uintp), build


def _lane_bits(b: Any, address: Any) -> Any:
    """A bit for each of 64 bytes: whether it is not 0."""
    return b.bitcast(b.icmp_unsigned("!=", v.load(b, address, 0, v.B64), v.all_lanes(v.B64, 0)), v.I64)
