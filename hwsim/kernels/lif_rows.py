"""LIF neurons of a row of lanes: one channel, one timestep; `arith.lif_step` and `arith.gated_lif_step` in 32 bits.

The membrane is within 24 bits, and the caller sees to it that currents are; the decay is split at 12 bits so that its products
are too. Only hard reset and currents without memory: other neurons go through `arith`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pumice.hwsim.kernels import vector_ir as v

UNITY = 4096
LIMIT = (1 << 23) - 1
HALF = 2048
B16 = ir.VectorType(v.I8, 16)


@intrinsic
def lif_rows(
    context: Any,
    rows: Any,
    chunks: Any,
    sums: Any,
    packed: Any,
    skips: Any,
    membrane: Any,
    apart: Any,
    shift: Any,
    bias: Any,
    keep: Any,
    threshold: Any,
    on: Any,
    decays: Any,
    noted: Any,
    tight: Any,
    out: Any,
    out_apart: Any,
) -> Any:
    """One timestep of `rows` channels by 16 * chunks lanes, all arrays by address: sums (int32) shifted left by `shift` and bias
    [rows] (int32) are added to the decayed membranes (int32); rows of both are `apart` bytes apart. keep: 4096 - dv. Where on
    (uint8) is 0 nothing is added or sent, and the state waits, or decays if `decays`. packed: sums are of the lanes that are on
    only, those of each chunk `skips` [chunks] (int64) bytes from the row's first. out (uint8): 1 where the membrane is above
    `threshold`; rows `out_apart` bytes apart. noted: 2 adds 2 where a neuron was active, that is on, with an input, a bias or a
    membrane that is not 0; else 0. tight: out, too, is of the lanes that are on only."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        spread = v.flag(builder, arguments[3])
        halves = builder.icmp_signed("==", arguments[9], ir.Constant(v.I32, HALF))
        notes = builder.icmp_unsigned("!=", arguments[13], ir.Constant(v.I8, 0))
        for expand, noted, halving in product((False, True), repeat=3):
            wanted = [(spread, expand), (notes, noted), (halves, halving)]
            yes = [flag if on else builder.not_(flag) for flag, on in wanted]
            with builder.if_then(builder.and_(builder.and_(yes[0], yes[1]), yes[2])):
                _rows(builder, arguments, halved if halving else partial(_decayed, keep=arguments[9]), expand, noted)
        return _context.get_dummy_value()

    memory = (types.uintp, types.boolean, types.uintp, types.uintp, types.intp)
    neurons = (
        types.int32,
        types.uintp,
        types.int32,
        types.int32,
        types.uintp,
        types.boolean,
        types.uint8,
        types.boolean,
    )
    return types.void(types.intp, types.intp, *memory, *neurons, types.uintp, types.intp), build


def _rows(b: Any, arguments: Any, decay: Callable[[Any, Any], Any], expand: bool, note: bool) -> None:
    rows, chunks, sums, _, skips, membrane, apart, shift, bias, _, threshold, on, *flags, out, out_apart = arguments
    decays, noted, tight = flags
    late, pushed = v.flag(b, decays), v.flag(b, tight)

    def body(row: Any, _: list[Any]) -> list[Any]:
        down = b.mul(row, apart)
        own = v.load(b, bias, b.shl(row, v.i64(2)), v.I32, 4)
        places = (b.add(sums, down), skips, b.add(membrane, down), b.add(out, b.mul(row, out_apart)))
        _row(b, chunks, places, (shift, own, threshold, on, late, noted if note else None, pushed), decay, expand)
        return []

    v.accumulate(b, rows, [], body)


def _row(b: Any, chunks: Any, places: Any, numbers: Any, decay: Callable[[Any, Any], Any], expand: bool) -> None:
    (sums, skips, membrane, out), (shift, bias, threshold, on, late, noted, tight) = places, numbers
    by, plus, limit = (v.splat(b, x, v.V16) for x in (shift, bias, threshold))
    silent, nothing = v.all_lanes(B16, 0), v.all_lanes(v.V16, 0)
    note = None if noted is None else v.splat(b, noted, B16)

    def body(step: Any, _: list[Any]) -> list[Any]:
        byte, word = b.shl(step, v.i64(4)), b.shl(step, v.i64(6))
        routed = b.icmp_unsigned("!=", v.load(b, on, byte, B16), silent)
        current = expanded(b, sums, skips, step, routed) if expand else v.load(b, sums, word, v.V16, 64)
        before = v.load(b, membrane, word, v.V16, 64)
        idle = decay(b, before)
        after = saturated(b, b.add(b.add(idle, b.shl(current, by)), plus))
        fired = b.and_(b.icmp_signed(">", after, limit), routed)
        state = b.select(routed, after, b.select(late, idle, before))
        v.store(b, b.select(fired, nothing, state), membrane, word, 64)
        sent = b.zext(fired, B16)
        if note is not None:
            busy = b.and_(routed, b.icmp_unsigned("!=", b.or_(b.or_(current, before), plus), nothing))
            sent = b.or_(sent, b.select(busy, note, silent))
        with b.if_else(tight) as (pushed, whole):
            with pushed:
                v.push(b, sent, routed, out, b.lshr(v.load(b, skips, b.shl(step, v.i64(3)), v.I64, 8), v.i64(2)))
            with whole:
                v.store(b, sent, out, byte)
        return []

    v.accumulate(b, chunks, [], body)


def expanded(b: Any, sums: Any, skips: Any, step: Any, routed: Any) -> Any:
    """The sums of a chunk in the lanes that are on."""
    read = v.external(b, "llvm.masked.expandload.v16i32", v.V16, [v.I32.as_pointer(), v.M16, v.V16])
    place = v.at(b, sums, v.load(b, skips, b.shl(step, v.i64(3)), v.I64, 8), v.I32)
    return b.call(read, [place, routed, v.all_lanes(v.V16, 0)])


def halved(b: Any, x: Any) -> Any:
    """x / 2, toward zero."""
    return b.ashr(b.add(x, b.lshr(x, v.all_lanes(v.V16, 31))), v.all_lanes(v.V16, 1))


def _decayed(b: Any, x: Any, keep: Any) -> Any:
    """x * keep / 4096, toward zero; the product in two parts, each within 32 bits."""
    factor, zero = v.splat(b, keep, v.V16), v.all_lanes(v.V16, 0)
    negative = b.icmp_signed("<", x, zero)
    size = b.select(negative, b.sub(zero, x), x)
    high, low = b.lshr(size, v.all_lanes(v.V16, 12)), b.and_(size, v.all_lanes(v.V16, UNITY - 1))
    left = b.add(b.mul(high, factor), b.lshr(b.mul(low, factor), v.all_lanes(v.V16, 12)))
    return b.select(negative, b.sub(zero, left), left)


def saturated(b: Any, x: Any) -> Any:
    high, low = v.all_lanes(v.V16, LIMIT), v.all_lanes(v.V16, -LIMIT)
    x = b.select(b.icmp_signed(">", x, high), high, x)
    return b.select(b.icmp_signed("<", x, low), low, x)


@intrinsic
def store_rows(
    context: Any, rows: Any, chunks: Any, sums: Any, apart: Any, shift: Any, out: Any, out_apart: Any
) -> Any:
    """Sums (int32) of `rows` channels by 16 * chunks lanes, shifted left, at out; both by address, with bytes between rows."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        rows, chunks, sums, apart, shift, out, out_apart = arguments
        by = v.splat(builder, shift, v.V16)

        def row(at: Any, _: list[Any]) -> list[Any]:
            source, into = builder.add(sums, builder.mul(at, apart)), builder.add(out, builder.mul(at, out_apart))

            def chunk(step: Any, _: list[Any]) -> list[Any]:
                word = builder.shl(step, v.i64(6))
                v.store(builder, builder.shl(v.load(builder, source, word, v.V16, 64), by), into, word)
                return []

            v.accumulate(builder, chunks, [], chunk)
            return []

        v.accumulate(builder, rows, [], row)
        return _context.get_dummy_value()

    numbers = (types.uintp, types.intp, types.int32, types.uintp, types.intp)
    return types.void(types.intp, types.intp, *numbers), build
