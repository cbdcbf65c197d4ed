"""Rows of bytes for the tiles: gathered from a layer's input, four to a 32-bit lane, or only the lanes that are routed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pumice.hwsim.kernels import vector_ir as v
from pumice.hwsim.kernels.dot_tile import QUAD

FIRST = [lane for k in range(64) for lane in (k, 64 + k)]  # two rows interleaved


@intrinsic
def quad_rows(context: Any, x: Any, rows: Any, quads: Any, flip: Any, out: Any) -> Any:
    """Rows [4 * quads] of 64 bytes, `rows` (int64) bytes after x, as out [quads, 64, 4]. flip: exclusive-or of every byte, 128
    to turn signed bytes into unsigned ones of 128 more."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        _quads(builder, *arguments)
        return _context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.intp, types.uint8, types.uintp), build


def _quads(b: Any, x: Any, rows: Any, quads: Any, flip: Any, out: Any) -> None:
    turn = v.splat(b, flip, v.B64)

    def body(step: Any, _: list[Any]) -> list[Any]:
        first = b.mul(step, v.i64(8 * QUAD))
        places = [v.load(b, rows, b.add(first, v.i64(8 * k)), v.I64, 8) for k in range(QUAD)]
        for place in places:
            v.prefetch(b, x, b.add(place, v.i64(v.LANES)))  # of the next tile
        a, c, d, e = (b.xor(v.load(b, x, place, v.B64), turn) for place in places)
        words = [b.bitcast(v.shuffled(b, one, two, FIRST), ir.VectorType(v.I16, 64)) for one, two in ((a, c), (d, e))]
        quad = b.bitcast(v.shuffled(b, words[0], words[1], FIRST), ir.VectorType(v.I8, 256))
        v.store(b, quad, out, b.mul(step, v.i64(v.LANES * QUAD)), 64)
        return []

    v.accumulate(b, quads, [], body)


@intrinsic
def copy_rows(context: Any, x: Any, rows: Any, count: Any, out: Any) -> Any:
    """Rows [count] of 64 bytes, `rows` (int64) bytes after x, as out [count, 64]."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        x, rows, count, out = arguments

        def body(step: Any, _: list[Any]) -> list[Any]:
            place = v.load(builder, rows, builder.mul(step, v.i64(8)), v.I64, 8)
            v.prefetch(builder, x, builder.add(place, v.i64(v.LANES)))  # of the next tile
            v.store(builder, v.load(builder, x, place, v.B64), out, builder.mul(step, v.i64(v.LANES)), 64)
            return []

        v.accumulate(builder, count, [], body)
        return _context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.intp, types.uintp), build


@intrinsic
def squeeze_rows(context: Any, x: Any, stride: Any, count: Any, on: Any, out: Any, out_stride: Any) -> Any:
    """Of rows [count] of 64 bytes, `stride` bytes apart, the lanes where on [64] (uint8) is not 0, one after another, at out,
    rows `out_stride` bytes apart."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        x, stride, count, on, out, out_stride = arguments
        mask = builder.icmp_unsigned("!=", v.load(builder, on, 0, v.B64), v.all_lanes(v.B64, 0))

        def body(step: Any, _: list[Any]) -> list[Any]:
            row = v.load(builder, x, builder.mul(step, stride), v.B64)
            v.prefetch(builder, x, builder.add(builder.mul(step, stride), v.i64(v.LANES)))  # of the next tile
            v.push(builder, row, mask, out, builder.mul(step, out_stride))
            return []

        v.accumulate(builder, count, [], body)
        return _context.get_dummy_value()

    return types.void(types.uintp, types.intp, types.intp, types.uintp, types.uintp, types.intp), build


@intrinsic
def skip_lanes(context: Any, on: Any, chunks: Any, before: Any, out: Any) -> Any:
    """Of 16 * chunks lanes where the sums of each chunk's start when only those of lanes that are on (uint8) are there, after
    `before` others: out [chunks] (int64, bytes of int32 sums); returns how many sums there are then. All by address."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        on, chunks, before, out = arguments
        kind = ir.VectorType(v.I8, 16)

        def body(step: Any, counted: list[Any]) -> list[Any]:
            v.store(builder, builder.shl(counted[0], v.i64(2)), out, builder.shl(step, v.i64(3)), 8)
            lanes = v.load(builder, on, builder.shl(step, v.i64(4)), kind)
            bits = builder.bitcast(builder.icmp_unsigned("!=", lanes, v.all_lanes(kind, 0)), v.I16)
            return [builder.add(counted[0], builder.zext(builder.ctpop(bits), v.I64))]

        return v.accumulate(builder, chunks, [before], body)[0]

    return types.intp(types.uintp, types.intp, types.intp, types.uintp), build


@intrinsic
def clear_words(context: Any, out: Any, chunks: Any) -> Any:
    """Sets 16 * chunks words of 32 bits at an address to 0."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        out, chunks = arguments

        def body(step: Any, _: list[Any]) -> list[Any]:
            v.store(builder, v.all_lanes(v.V16, 0), out, builder.shl(step, v.i64(6)), 64)
            return []

        v.accumulate(builder, chunks, [], body)
        return _context.get_dummy_value()

    return types.void(types.uintp, types.intp), build


@intrinsic
def fill_rows(context: Any, rows: Any, chunks: Any, first: Any, out: Any, apart: Any) -> Any:
    """Fills each of `rows` rows of 16 * chunks words, `apart` bytes apart, with its number of first [rows] (int32)."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        rows, chunks, first, out, apart = arguments

        def row(at: Any, _: list[Any]) -> list[Any]:
            value = v.splat(builder, v.load(builder, first, builder.shl(at, v.i64(2)), v.I32, 4), v.V16)
            start = builder.add(out, builder.mul(at, apart))

            def chunk(step: Any, _: list[Any]) -> list[Any]:
                v.store(builder, value, start, builder.shl(step, v.i64(6)), 64)
                return []

            v.accumulate(builder, chunks, [], chunk)
            return []

        v.accumulate(builder, rows, [], row)
        return _context.get_dummy_value()

    return types.void(types.intp, types.intp, types.uintp, types.uintp, types.intp), build


@intrinsic
def spread_rows(
    context: Any,
    x: Any,
    stride: Any,
    count: Any,
    on: Any,
    tiles: Any,
    skips: Any,
    base: Any,
    more: Any,
    out: Any,
    apart: Any,
) -> Any:
    """The opposite of `squeeze_rows` for rows of 64 * tiles lanes: rows [count] of bytes at x, `stride` bytes apart, go where on
    (uint8) is not 0, the first of each 16 lanes from skips [4 * tiles] (int64, 4 bytes a lane: `skip_lanes`). Elsewhere out is
    0. more: rows at base, `apart` bytes apart as those of out, are added."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        more = v.flag(builder, arguments[7])
        with builder.if_else(more) as (added, alone):
            with added:
                _spread(builder, arguments, True)
            with alone:
                _spread(builder, arguments, False)
        return _context.get_dummy_value()

    places = (types.uintp, types.intp, types.uintp)
    return types.void(
        types.uintp, types.intp, types.intp, *places, types.uintp, types.boolean, types.uintp, types.intp
    ), build


def _spread(b: Any, arguments: Any, add: bool) -> None:
    x, stride, count, on, tiles, skips, base, _, out, apart = arguments
    kind, bits = v.B64, ir.VectorType(v.I1, 64)
    read = v.external(b, "llvm.masked.expandload.v64i8", kind, [v.I8.as_pointer(), bits, kind])

    def row(at: Any, _: list[Any]) -> list[Any]:
        source, down = b.add(x, b.mul(at, stride)), b.mul(at, apart)

        def tile(step: Any, _: list[Any]) -> list[Any]:
            lanes = b.shl(step, v.i64(6))
            routed = b.icmp_unsigned("!=", v.load(b, on, lanes, kind), v.all_lanes(kind, 0))
            first = b.lshr(v.load(b, skips, b.shl(step, v.i64(5)), v.I64, 8), v.i64(2))
            value = b.call(read, [v.at(b, source, first, v.I8), routed, v.all_lanes(kind, 0)])
            if add:
                value = b.add(value, v.load(b, b.add(base, down), lanes, kind))
            v.store(b, value, b.add(out, down), lanes)
            return []

        v.accumulate(b, tiles, [], tile)
        return []

    v.accumulate(b, count, [], row)
