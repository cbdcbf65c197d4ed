"""LIF neurons bit by bit: two channels of 256 lanes at a time, all timesteps, so that their membranes are never stored.

`arith.lif_step` of neurons that lose half of their membrane a timestep and start anew after a spike. The caller sees to it that
no membrane needs more bits than there are, so that nothing saturates.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pumice.hwsim.kernels import vector_ir as v
from pumice.hwsim.kernels.bit_rows import ROW, STEP
from pumice.hwsim.kernels.bit_sums import CARRY, Q8, WIDE, majority, ternary, xor3

BITS = (16, 20, 24)  # of a membrane
Q4 = ir.VectorType(v.I64, 4)


@intrinsic
def bit_lif(
    context: Any,
    steps: Any,
    arena: Any,
    apart: Any,
    bits: Any,
    places: Any,
    limit: Any,
    on: Any,
    on_step: Any,
    out: Any,
) -> Any:
    """Neurons of two channels by 256 lanes at all timesteps, arrays by address. arena: rows of bits, of every four timesteps
    `apart` bytes after those before. places [2, bits] (uint32): where, in bytes, the bits of each channel's current are. bits:
    16, 20 or 24. limit [bits] (uint64): complements of the threshold's bits, all alike in a word, but of its sign that itself. on
    [256 / 64] (uint64), `on_step` bytes between timesteps: which lanes spike at all. out [steps, 2, 4] (uint64): the spikes."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        for some in BITS:
            with builder.if_then(builder.icmp_signed("==", arguments[3], v.i64(some))):
                _lif(builder, some, *arguments[:3], *arguments[4:])
        return _context.get_dummy_value()

    return types.void(
        types.intp,
        types.uintp,
        types.intp,
        types.intp,
        types.uintp,
        types.uintp,
        types.uintp,
        types.intp,
        types.uintp,
    ), build


def _lif(
    b: Any, bits: int, steps: Any, arena: Any, apart: Any, places: Any, limit: Any, on: Any, on_step: Any, out: Any
) -> None:
    def body(t: Any, membrane: list[Any]) -> list[Any]:
        quarter = b.mul(b.and_(t, v.i64(ROW // STEP - 1)), v.i64(STEP))
        start = b.add(arena, b.add(b.mul(b.lshr(t, v.i64(2)), apart), quarter))
        current = [_both(b, *(_current(b, start, places, 4 * (p + k * bits)) for k in (0, 1))) for p in range(bits)]
        after, fired = _step(b, membrane, current, limit)
        lanes = v.load(b, on, b.mul(t, on_step), Q4, 8)
        v.store(b, b.and_(fired, _both(b, lanes, lanes)), out, b.shl(t, v.i64(6)), 64)
        rest = b.xor(fired, v.all_lanes(Q8, -1))
        return [b.and_(plane, rest) for plane in after]

    v.accumulate(b, steps, [v.all_lanes(Q8, 0)] * bits, body)


def _current(b: Any, start: Any, places: Any, entry: int) -> Any:
    return v.load(b, start, b.zext(v.load(b, places, entry, v.I32, 4), v.I64), Q4, 32)


def _both(b: Any, first: Any, second: Any) -> Any:
    return v.shuffled(b, first, second, range(8))


def _step(b: Any, membrane: list[Any], current: list[Any], limit: Any) -> tuple[list[Any], Any]:
    """Membranes after half of them is gone and the current has come, and where they are above the threshold."""
    sign, above, after = membrane[-1], v.all_lanes(Q8, 0), []
    carry = b.and_(sign, membrane[0])  # a half is rounded toward zero
    for p, (half, more) in enumerate(zip([*membrane[1:], sign], current, strict=True)):
        total = xor3(b, half, more, carry)
        carry = ternary(b, total, more, carry, CARRY) if WIDE else majority(b, half, more, carry)
        word, last = v.splat(b, v.load(b, limit, 8 * p, v.I64, 8), Q8), p == len(current) - 1
        above = majority(b, b.xor(total, v.all_lanes(Q8, -1)) if last else total, word, above)
        after.append(total)
    return after, above
