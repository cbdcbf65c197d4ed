"""Dense synapses of a tile: 6 outputs by 64 lanes, four inputs at a time, as int8 dot products with 32-bit sums.

Processors with AVX-512 VNNI multiply and add 64 pairs of bytes in one instruction (`vpdpbusd`: four to each 32-bit lane); on
others LLVM makes the same sums of plain vector instructions. Exact: a sum of products of bytes stays far below 2^31.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from pumice.hwsim.kernels import vector_ir as v

OUTPUTS = 6  # 6 x 4 sums, 4 inputs and a weight fill the 32 registers
QUAD = 4  # inputs to a 32-bit lane
VNNI = v.has_feature("avx512vnni") and v.has_feature("avx512f")


@intrinsic
def dot_tile(context: Any, x: Any, w: Any, quads: Any, start: Any, out: Any, apart: Any) -> Any:
    """Sums [6, 64] (int32), rows `apart` bytes apart, of start [6] (int32) and the products of weights [quads, 6, 4] (int8) and
    inputs [quads, 64, 4] (uint8); all by address."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        _build(builder, *arguments)
        return _context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.intp, types.uintp, types.uintp, types.intp), build


def _build(b: Any, x: Any, w: Any, quads: Any, start: Any, out: Any, apart: Any) -> None:
    parts = v.LANES // 16
    begin = [v.splat(b, v.load(b, start, 4 * m, v.I32, 4), v.V16) for m in range(OUTPUTS) for _ in range(parts)]

    def body(step: Any, sums: list[Any]) -> list[Any]:
        row, weights = b.mul(step, v.i64(v.LANES * QUAD)), b.mul(step, v.i64(QUAD * OUTPUTS))
        inputs = [v.load(b, x, b.add(row, v.i64(64 * n)), v.V16, 64) for n in range(parts)]
        new = []
        for m in range(OUTPUTS):
            weight = v.splat(b, v.load(b, w, b.add(weights, v.i64(QUAD * m)), v.I32, 4), v.V16)
            new += [dot(b, sums[m * parts + n], inputs[n], weight) for n in range(parts)]
        return new

    for k, total in enumerate(v.accumulate(b, quads, begin, body)):
        m, n = divmod(k, parts)
        v.store(b, total, out, b.add(b.mul(apart, v.i64(m)), v.i64(64 * n)), 64)


def dot(b: Any, total: Any, x: Any, w: Any) -> Any:
    """total + the four products of unsigned and signed bytes in each 32-bit lane."""
    if VNNI:
        return b.call(v.external(b, "llvm.x86.avx512.vpdpbusd.512", v.V16, [v.V16] * 3), [total, x, w])
    return plain_dot(b, total, x, w)


def plain_dot(b: Any, total: Any, x: Any, w: Any) -> Any:
    """The same on any processor."""
    for byte in range(QUAD):
        up, down = v.all_lanes(v.V16, 24 - 8 * byte), v.all_lanes(v.V16, 24)
        unsigned = b.lshr(b.shl(x, up), down)
        signed = b.ashr(b.shl(w, up), down)
        total = b.add(total, b.mul(unsigned, signed))
    return total
