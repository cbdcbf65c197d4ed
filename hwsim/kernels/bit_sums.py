"""Sums of bits, 1024 lanes at a time: eight or four bits of a place are added to its sum, and one is carried three places on.

What is added stands in lists (`runtime.fast.bit_lists`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pumice.hwsim.kernels import vector_ir as v

Q8 = ir.VectorType(v.I64, 8)
WIDE = v.has_feature("avx512f")
ROW = 128  # bytes
AHEAD = 2048  # bytes of a list that are asked for before they are read
XOR3, MAJORITY = 0x96, 0xE8
CARRY = 0x8E  # the majority of x, y and z, of x ^ y ^ z, y and z: no register is copied


def ternary(b: Any, x: Any, y: Any, z: Any, table: int) -> Any:
    """Any function of three bits, in one instruction where there is AVX-512: bit 4x + 2y + z of the table."""
    call = v.external(b, "llvm.x86.avx512.pternlog.q.512", Q8, [Q8, Q8, Q8, v.I32])
    return b.call(call, [x, y, z, ir.Constant(v.I32, table)])


def xor3(b: Any, x: Any, y: Any, z: Any) -> Any:
    """Whether one or three of three bits are 1."""
    return ternary(b, x, y, z, XOR3) if WIDE else b.xor(b.xor(x, y), z)


def majority(b: Any, x: Any, y: Any, z: Any) -> Any:
    """Whether at least two of three bits are 1."""
    return ternary(b, x, y, z, MAJORITY) if WIDE else b.or_(b.and_(x, y), b.and_(z, b.or_(x, y)))


def added(b: Any, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
    """The sum of three bits: of their place and of the next."""
    total = xor3(b, x, y, z)
    return total, ternary(b, total, y, z, CARRY) if WIDE else majority(b, x, y, z)


@intrinsic
def add_bits(
    context: Any, places: Any, arena: Any, bits: Any, counts: Any, carries: Any, region: Any, sums: Any
) -> Any:
    """The bits of a sum, places [P] of them, as rows of 128 bytes at `sums`. bits (uint32): offsets of rows from arena, in bytes,
    of which counts [P, 2] (int64) are how many eights, and then fours, are added in each place. Carries go to `carries`, four
    regions of `region` bytes in turn, a row of every eight or four. Returns the address after the bits. All by address."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _build(builder, *arguments)

    numbers = (types.uintp, types.uintp, types.uintp, types.uintp, types.intp, types.uintp)
    return types.uintp(types.intp, *numbers), build


def _build(b: Any, places: Any, arena: Any, bits: Any, counts: Any, carries: Any, region: Any, sums: Any) -> Any:
    nothing = v.all_lanes(Q8, 0)
    regions = [b.add(carries, b.mul(region, v.i64(k))) for k in range(4)]

    def place(p: Any, state: list[Any]) -> list[Any]:
        bits, first, *others, one, other, two, more = state
        held = [bits, first, one, other, two, more, nothing, nothing]
        for k, count in enumerate((8, 4)):
            times = v.load(b, counts, b.add(b.shl(p, v.i64(4)), v.i64(8 * k)), v.I64, 8)
            held = v.accumulate(b, times, held, partial(_group, b, arena, count))
        into = b.add(sums, b.mul(p, v.i64(ROW)))
        for half in (0, 1):
            v.store(b, held[2 + half], into, 64 * half, 64)
        return [held[0], *others, first, *held[4:]]

    return v.accumulate(b, places, [bits, *regions, *[nothing] * 4], place)[0]


def _group(b: Any, arena: Any, count: int, _: Any, state: list[Any]) -> list[Any]:
    """Adds eight or four rows to a sum of three bits, and stores the fourth."""
    bits, carry, *sums = state  # both halves of each bit
    v.prefetch(b, bits, AHEAD)
    offsets = [b.zext(v.load(b, bits, 4 * k, v.I32, 4), v.I64) for k in range(count)]
    new = []
    for half in (0, 1):
        rows = [v.load(b, arena, b.add(place, v.i64(64 * half)), Q8, 64) for place in offsets]
        *three, eights = (_eight if count == 8 else _four)(b, rows, *sums[half::2])
        v.store(b, eights, carry, 64 * half, 64)
        new.append(three)
    after = [new[half][k] for k in range(3) for half in (0, 1)]
    return [b.add(bits, v.i64(4 * count)), b.add(carry, v.i64(ROW)), *after]


def _two(b: Any, rows: list[Any], ones: Any, twos: Any) -> tuple[Any, Any, Any]:
    """Adds four rows to a sum of two bits."""
    ones, first = added(b, rows[0], rows[1], ones)
    ones, second = added(b, rows[2], rows[3], ones)
    twos, fours = added(b, first, second, twos)
    return ones, twos, fours


def _four(b: Any, rows: list[Any], ones: Any, twos: Any, fours: Any) -> tuple[Any, Any, Any, Any]:
    ones, twos, more = _two(b, rows, ones, twos)
    return ones, twos, b.xor(fours, more), b.and_(fours, more)


def _eight(b: Any, rows: list[Any], ones: Any, twos: Any, fours: Any) -> tuple[Any, Any, Any, Any]:
    ones, twos, first = _two(b, rows[:4], ones, twos)
    ones, twos, second = _two(b, rows[4:], ones, twos)
    fours, eights = added(b, first, second, fours)
    return ones, twos, fours, eights
