"""The LIF neurons that most layers have, 64 lanes at a time: membranes that halve, and wait where not routed.

The same integers as `lif_rows`, in fewer instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pumice.hwsim.kernels import vector_ir as v
from pumice.hwsim.kernels.lif_rows import expanded, halved, saturated

PARTS = v.LANES // 16
M64 = ir.VectorType(v.I1, 64)


@intrinsic
def quick_lif(
    context: Any,
    rows: Any,
    tiles: Any,
    sums: Any,
    packed: Any,
    skips: Any,
    membrane: Any,
    apart: Any,
    shift: Any,
    bias: Any,
    threshold: Any,
    saturates: Any,
    on: Any,
    out: Any,
    out_apart: Any,
) -> Any:
    """One timestep of `rows` channels by 64 * tiles lanes, arguments as `lif_rows` has them: dv is 2048, and the state of lanes
    that are not on stays. packed: sums and out are of the lanes that are on only. saturates: membranes may reach 2^23."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        flags = v.flag(builder, arguments[3]), v.flag(builder, arguments[10])
        for packed, saturates in product((False, True), repeat=2):
            yes = [flag if on else builder.not_(flag) for flag, on in zip(flags, (packed, saturates), strict=True)]
            with builder.if_then(builder.and_(*yes)):
                _rows(builder, arguments, packed, saturates)
        return _context.get_dummy_value()

    memory = (types.uintp, types.boolean, types.uintp, types.uintp, types.intp)
    numbers = (types.int32, types.uintp, types.int32, types.boolean, types.uintp)
    return types.void(types.intp, types.intp, *memory, *numbers, types.uintp, types.intp), build


def _rows(b: Any, arguments: Any, packed: bool, saturates: bool) -> None:
    rows, tiles, sums, _, skips, membrane, apart, shift, bias, threshold, _, on, out, out_apart = arguments
    limit = saturated if saturates else _as_it_is
    numbers = [v.splat(b, number, v.V16) for number in (shift, threshold)]

    def row(at: Any, _: list[Any]) -> list[Any]:
        down = b.mul(at, apart)
        own = v.splat(b, v.load(b, bias, b.shl(at, v.i64(2)), v.I32, 4), v.V16)
        places = (b.add(sums, down), skips, b.add(membrane, down), on, b.add(out, b.mul(at, out_apart)))
        v.accumulate(b, tiles, [], lambda step, _: _tile(b, step, places, (*numbers, own), packed, limit))
        return []

    v.accumulate(b, rows, [], row)


def _tile(
    b: Any, step: Any, places: tuple[Any, ...], numbers: tuple[Any, ...], packed: bool, limit: Callable[[Any, Any], Any]
) -> list[Any]:
    sums, skips, membrane, on, out = places
    lanes = b.shl(step, v.i64(6))
    routed = b.icmp_unsigned("!=", v.load(b, on, lanes, v.B64), v.all_lanes(v.B64, 0))
    fired = []
    for part in range(PARTS):
        chunk = b.add(b.shl(step, v.i64(2)), v.i64(part))
        valid = v.shuffled(b, routed, routed, range(16 * part, 16 * part + 16))
        word = b.shl(chunk, v.i64(6))
        current = expanded(b, sums, skips, chunk, valid) if packed else v.load(b, sums, word, v.V16, 64)
        fired.append(_chunk(b, current, v.at(b, membrane, word, v.V16), valid, numbers, limit))
    low, high = (v.shuffled(b, fired[k], fired[k + 1], range(32)) for k in (0, 2))
    sent = b.zext(b.and_(v.shuffled(b, low, high, range(64)), routed), v.B64)
    if packed:
        v.push(b, sent, routed, out, b.lshr(v.load(b, skips, b.shl(step, v.i64(5)), v.I64, 8), v.i64(2)))
    else:
        v.store(b, sent, out, lanes)
    return []


def _as_it_is(_: Any, x: Any) -> Any:
    return x


def _chunk(
    b: Any, current: Any, membrane: Any, valid: Any, numbers: tuple[Any, ...], limit: Callable[[Any, Any], Any]
) -> Any:
    """Which of 16 lanes are above the threshold; stores their membranes where they are valid."""
    shift, threshold, bias = numbers
    before = b.load(membrane)
    before.align = 64
    after = limit(b, b.add(halved(b, before), b.add(b.shl(current, shift), bias)))
    above = b.icmp_signed(">", after, threshold)
    state = b.select(above, v.all_lanes(v.V16, 0), after)
    kinds = [v.V16, v.V16.as_pointer(), v.I32, v.M16]
    store = v.external(b, "llvm.masked.store.v16i32.p0v16i32", ir.VoidType(), kinds)
    b.call(store, [state, membrane, ir.Constant(v.I32, 64), valid])
    return above
