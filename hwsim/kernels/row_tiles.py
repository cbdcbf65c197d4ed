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
        pointer, bits = v.I8.as_pointer(), ir.VectorType(v.I1, 64)
        name = "llvm.masked.compressstore.v64i8"
        compress = v.external(builder, name, ir.VoidType(), [v.B64, pointer, bits])

        def body(step: Any, _: list[Any]) -> list[Any]:
            row = v.load(builder, x, builder.mul(step, stride), v.B64)
            v.prefetch(builder, x, builder.add(builder.mul(step, stride), v.i64(v.LANES)))  # of the next tile
            builder.call(compress, [row, v.at(builder, out, builder.mul(step, out_stride), v.I8), mask])
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


def _lane_bits(b: Any, address: Any) -> Any:
    """A bit for each of 64 bytes: whether it is not 0."""
    return b.bitcast(b.icmp_unsigned("!=", v.load(b, address, 0, v.B64), v.all_lanes(v.B64, 0)), v.I64)


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
def word_at(context: Any, address: Any) -> Any:
    """The 64-bit integer at an address."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return v.load(builder, arguments[0], 0, v.I64, 8)

    return types.int64(types.uintp), build


@intrinsic
def spread_rows(
    context: Any, x: Any, stride: Any, count: Any, on: Any, chunks: Any, skips: Any, out: Any, out_stride: Any
) -> Any:
    """The opposite of `squeeze_rows` for rows of 16 * chunks lanes: rows [count] of bytes at x go where on (uint8) is not 0, the
    first of each chunk from skips [chunks] (int64, 4 bytes a lane: `skip_lanes`); elsewhere out is 0."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        x, stride, count, on, chunks, skips, out, out_stride = arguments
        kind, bits = ir.VectorType(v.I8, 16), ir.VectorType(v.I1, 16)
        read = v.external(builder, "llvm.masked.expandload.v16i8", kind, [v.I8.as_pointer(), bits, kind])

        def row(at: Any, _: list[Any]) -> list[Any]:
            source, target = builder.add(x, builder.mul(at, stride)), builder.add(out, builder.mul(at, out_stride))

            def chunk(step: Any, _: list[Any]) -> list[Any]:
                lanes = builder.shl(step, v.i64(4))
                routed = builder.icmp_unsigned("!=", v.load(builder, on, lanes, kind), v.all_lanes(kind, 0))
                first = builder.lshr(v.load(builder, skips, builder.shl(step, v.i64(3)), v.I64, 8), v.i64(2))
                value = builder.call(read, [v.at(builder, source, first, v.I8), routed, v.all_lanes(kind, 0)])
                v.store(builder, value, target, lanes)
                return []

            v.accumulate(builder, chunks, [], chunk)
            return []

        v.accumulate(builder, count, [], row)
        return _context.get_dummy_value()

    return types.void(
        types.uintp, types.intp, types.intp, types.uintp, types.intp, types.uintp, types.uintp, types.intp
    ), build
