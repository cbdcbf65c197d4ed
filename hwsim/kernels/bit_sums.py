"""Sums of bits, 1024 lanes at a time: four bits of a place are added to its sum, and one is carried two places on.

What is added stands in lists (`runtime.fast.bit_lists`).
"""

from __future__ import annotations

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
    """The bits of a sum, places [P] of them, as rows of 128 bytes at `sums`. bits [.., 4] (uint32): offsets of rows from arena, in
    bytes, of which counts [P] (int64) fours are added in each place. Carries go to `carries`, three regions of `region` bytes in
    turn, a row of every four. Returns the address after the bits. All by address."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _build(builder, *arguments)

    numbers = (types.uintp, types.uintp, types.uintp, types.uintp, types.intp, types.uintp)
    return types.uintp(types.intp, *numbers), build


def _build(b: Any, places: Any, arena: Any, bits: Any, counts: Any, carries: Any, region: Any, sums: Any) -> Any:
    nothing = v.all_lanes(Q8, 0)
    regions = [b.add(carries, b.mul(region, v.i64(k))) for k in range(3)]

    def place(p: Any, state: list[Any]) -> list[Any]:
        bits, first, second, third, *ones = state
        total = v.accumulate(
            b, v.load(b, counts, b.shl(p, v.i64(3)), v.I64, 8), [bits, first, *ones, nothing, nothing], four
        )
        into = b.add(sums, b.mul(p, v.i64(ROW)))
        for half, one in enumerate(total[2:4]):
            v.store(b, one, into, 64 * half, 64)
        return [total[0], second, third, first, *total[4:]]

    def four(_: Any, state: list[Any]) -> list[Any]:
        bits, carry, *sums = state
        v.prefetch(b, bits, AHEAD)
        offsets = [b.zext(v.load(b, bits, 4 * k, v.I32, 4), v.I64) for k in range(4)]
        halves = [_four(b, arena, offsets, carry, half, sums[half], sums[2 + half]) for half in (0, 1)]
        return [b.add(bits, v.i64(16)), b.add(carry, v.i64(ROW)), *(halves[h][k] for k in (0, 1) for h in (0, 1))]

    return v.accumulate(b, places, [bits, *regions, nothing, nothing], place)[0]


def _four(b: Any, arena: Any, offsets: list[Any], carry: Any, half: int, ones: Any, twos: Any) -> tuple[Any, Any]:
    """Adds half of four rows to a sum of two bits and stores the third."""
    rows = [v.load(b, arena, b.add(place, v.i64(64 * half)), Q8, 64) for place in offsets]
    ones, first = added(b, rows[0], rows[1], ones)
    ones, second = added(b, rows[2], rows[3], ones)
    twos, fours = added(b, first, second, twos)
    v.store(b, fours, carry, 64 * half, 64)
    return ones, twos
