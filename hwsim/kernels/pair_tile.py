"""Sparse synapses of a tile: one output by 64 lanes, two of its inputs at a time; absent synapses are not visited.

Two rows of bytes are interleaved, multiplied by two weights and added to 16-bit sums (`vpmaddubsw` where there is AVX-512). Sums
wrap at 16 bits, so whoever lays out the synapses sees to it that those of one list stay within.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from pumice.hwsim.kernels import vector_ir as v

LARGEST_INPUT = 128  # two products of it and a weight add up within 16 bits
WIDE = v.has_feature("avx512bw")
LOW = [lane for part in range(0, 64, 16) for k in range(8) for lane in (part + k, 64 + part + k)]
HIGH = [lane + 8 for lane in LOW]
IN_ORDER = [lane for part in range(0, 32, 8) for half in (0, 32) for lane in range(half + part, half + part + 8)]


@intrinsic
def pair_tiles(context: Any, rows: Any, x: Any, offsets: Any, weights: Any, starts: Any, out: Any, apart: Any) -> Any:
    """Adds to each of `rows` outputs at out [64] (int32), `apart` bytes apart, the products of inputs [64] (uint8, up to 128) at
    offsets [pairs, 2] (uint32, bytes from x) and weights [pairs, 2] (int8). starts (int64 [rows + 1]): which pairs are an
    output's; their sum must fit 16 bits. All by address."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        _build(builder, *arguments)
        return _context.get_dummy_value()

    return types.void(types.intp, *[types.uintp] * 5, types.intp), build


def _build(b: Any, rows: Any, x: Any, offsets: Any, weights: Any, starts: Any, out: Any, apart: Any) -> None:
    def row(at: Any, _: list[Any]) -> list[Any]:
        begin = v.load(b, starts, b.shl(at, v.i64(3)), v.I64, 8)
        pairs = b.sub(v.load(b, starts, b.shl(b.add(at, v.i64(1)), v.i64(3)), v.I64, 8), begin)
        lists = b.add(offsets, b.shl(begin, v.i64(3))), b.add(weights, b.shl(begin, v.i64(1)))
        _output(b, x, *lists, pairs, b.add(out, b.mul(at, apart)))
        return []

    v.accumulate(b, rows, [], row)


def _output(b: Any, x: Any, offsets: Any, weights: Any, pairs: Any, out: Any) -> None:
    def body(step: Any, sums: list[Any]) -> list[Any]:
        places = [
            b.zext(v.load(b, offsets, b.add(b.shl(step, v.i64(3)), v.i64(4 * k)), v.I32, 4), v.I64) for k in (0, 1)
        ]
        rows = [v.load(b, x, place, v.B64) for place in places]
        weight = v.splat(b, v.load(b, weights, b.shl(step, v.i64(1)), v.I16, 2), v.H32)
        return _wide(b, sums, rows, weight) if WIDE else plain_pairs(b, sums, rows, weight)

    low, high = v.accumulate(b, pairs, [v.all_lanes(v.H32, 0)] * 2, body)
    ordered = v.shuffled(b, low, high, IN_ORDER)
    for k in range(v.LANES // 16):
        part = b.sext(v.shuffled(b, ordered, ordered, range(16 * k, 16 * k + 16)), v.V16)
        v.store(b, b.add(part, v.load(b, out, 64 * k, v.V16, 64)), out, 64 * k, 64)


def _wide(b: Any, sums: list[Any], rows: list[Any], weight: Any) -> list[Any]:
    multiply = v.external(b, "llvm.x86.avx512.pmaddubs.w.512", v.H32, [v.B64, v.B64])
    pair = b.bitcast(weight, v.B64)
    return [
        b.add(total, b.call(multiply, [v.shuffled(b, rows[0], rows[1], lanes), pair]))
        for total, lanes in zip(sums, (LOW, HIGH), strict=True)
    ]


def plain_pairs(b: Any, sums: list[Any], rows: list[Any], weight: Any) -> list[Any]:
    """The same on any processor."""
    eight = v.all_lanes(v.H32, 8)
    first, second = b.ashr(b.shl(weight, eight), eight), b.ashr(weight, eight)
    new = []
    for total, lanes in zip(sums, (LOW, HIGH), strict=True):
        both = b.bitcast(v.shuffled(b, rows[0], rows[1], lanes), v.H32)
        low, high = b.and_(both, v.all_lanes(v.H32, 255)), b.lshr(both, eight)
        new.append(b.add(total, b.add(b.mul(low, first), b.mul(high, second))))
    return new
