"""Bytes as rows of bits, 1024 lanes each: 4 timesteps of 256 lanes; and back."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pumice.hwsim.kernels import vector_ir as v

PLANES = 4  # bits of an input at most
AHEAD = 256  # bytes: a block
ROW, STEP, WORD = 128, 32, 8  # bytes of a row, of one of its timesteps, of 64 lanes


@intrinsic
def pack_rows(
    context: Any, x: Any, rows: Any, count: Any, planes: Any, steps: Any, step: Any, words: Any, out: Any
) -> Any:
    """The bits of rows [count] of bytes, `rows` (int64) bytes after x, at `steps` timesteps, `step` bytes apart, 64 * words
    lanes each: out [count, planes, 2, 128], a row of each of the lowest 1 to 4 bits and its complement. By address."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        planes = arguments[3]
        for some in range(1, PLANES + 1):
            with builder.if_then(builder.icmp_signed("==", planes, v.i64(some))):
                _pack(builder, some, *arguments[:3], *arguments[4:])
        return _context.get_dummy_value()

    return types.void(
        types.uintp, types.uintp, types.intp, types.intp, types.intp, types.intp, types.intp, types.uintp
    ), build


def _pack(b: Any, planes: int, x: Any, rows: Any, count: Any, steps: Any, step: Any, words: Any, out: Any) -> None:
    def row(k: Any, _: list[Any]) -> list[Any]:
        place = b.add(x, v.load(b, rows, b.shl(k, v.i64(3)), v.I64, 8))
        into = b.add(out, b.mul(k, v.i64(2 * planes * ROW)))

        def time(t: Any, _: list[Any]) -> list[Any]:
            source, target = b.add(place, b.mul(t, step)), b.add(into, b.mul(t, v.i64(STEP)))

            def word(at: Any, _: list[Any]) -> list[Any]:
                lanes = b.shl(at, v.i64(6))
                v.prefetch(b, source, b.add(lanes, v.i64(AHEAD)))
                _pack_word(b, planes, b.add(source, lanes), b.add(target, b.shl(at, v.i64(3))))
                return []

            v.accumulate(b, words, [], word)
            return []

        v.accumulate(b, steps, [], time)
        return []

    v.accumulate(b, count, [], row)


def _pack_word(b: Any, planes: int, place: Any, into: Any) -> None:
    lanes, nothing = v.load(b, place, 0, v.B64), v.all_lanes(v.B64, 0)
    for q in range(planes):
        bits = b.bitcast(b.icmp_unsigned("!=", b.and_(lanes, v.all_lanes(v.B64, 1 << q)), nothing), v.I64)
        v.store(b, bits, into, 2 * q * ROW, 8)
        v.store(b, b.not_(bits), into, (2 * q + 1) * ROW, 8)


@intrinsic
def spread_bits(context: Any, words: Any, count: Any, out: Any) -> Any:
    """64 * count bits at an address as bytes that are 0 or 1."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        words, count, out = arguments

        def body(at: Any, _: list[Any]) -> list[Any]:
            word = v.load(builder, words, builder.shl(at, v.i64(3)), v.I64, 8)
            lanes = builder.zext(builder.bitcast(word, ir.VectorType(v.I1, 64)), v.B64)
            v.store(builder, lanes, out, builder.shl(at, v.i64(6)))
            return []

        v.accumulate(builder, count, [], body)
        return _context.get_dummy_value()

    return types.void(types.uintp, types.intp, types.uintp), build


@intrinsic
def put_word(context: Any, address: Any, word: Any) -> Any:
    """Stores 64 bits at an address."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        v.store(builder, arguments[1], arguments[0], 0, 8)
        return _context.get_dummy_value()

    return types.void(types.uintp, types.uint64), build


@intrinsic
def fill_row(context: Any, address: Any, word: Any) -> Any:
    """A row of bits of one word of 64 bits."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        for place in range(0, ROW, WORD):
            v.store(builder, arguments[1], arguments[0], place, 8)
        return _context.get_dummy_value()

    return types.void(types.uintp, types.int64), build


@intrinsic
def ask_for(context: Any, address: Any, lines: Any) -> Any:
    """Asks for lines of 64 bytes that will be written soon."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address, lines = arguments

        def body(at: Any, _: list[Any]) -> list[Any]:
            v.prefetch(builder, address, builder.shl(at, v.i64(6)), write=True)
            return []

        v.accumulate(builder, lines, [], body)
        return _context.get_dummy_value()

    return types.void(types.uintp, types.intp), build
