"""The largest value of each window, over maps in lanes: `arith.or_pool` of spikes and `arith.max_pool` of payloads."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from pumice.hwsim.kernels import vector_ir as v

Array = NDArray[Any]
Size = tuple[int, int, int, int]  # rows and columns of a map; the same with its border


@njit(nogil=True, cache=True)
def pool_rows(
    x: Array, size: Size, out: Array, made: Size, samples: int, kernel: int, stride: int, padding: int, lowest: int
) -> None:
    """x [T, C, lanes] of maps of `size`, out [T, C, lanes] of those of `made`; positions outside a map count as `lowest`."""
    above = np.empty(size[1] + 2 * padding, x.dtype)
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            for sample in range(samples):
                for row in range(made[0]):
                    above[:] = lowest
                    first = row * stride - padding
                    for y in range(max(first, 0), min(first + kernel, size[0])):
                        begin = (sample * size[2] + y) * size[3]
                        _raise(above[padding : padding + size[1]], x[t, c, begin : begin + size[1]])
                    begin = (sample * made[2] + row) * made[3]
                    _windows(above, kernel, stride, out[t, c, begin : begin + made[1]])


@njit(nogil=True, cache=True)
def _raise(best: Array, row: Array) -> None:
    for k in range(row.shape[0]):
        best[k] = row[k] if row[k] > best[k] else best[k]


@njit(nogil=True, cache=True)
def _windows(row: Array, kernel: int, stride: int, out: Array) -> None:
    """The largest value of each window of a row. A stride of 2 is said twice so that it is known when it is compiled."""
    for column in range(out.shape[0]):
        out[column] = row[column * stride]
    for k in range(1, kernel):
        if stride == 2:
            for column in range(out.shape[0]):
                value = row[column * 2 + k]
                out[column] = value if value > out[column] else out[column]
        else:
            for column in range(out.shape[0]):
                value = row[column * stride + k]
                out[column] = value if value > out[column] else out[column]


@intrinsic
def largest_bytes(context: Any, x: Any, row: Any, kernel: Any, stride: Any, columns: Any, chunks: Any, out: Any) -> Any:
    """The largest of each window of bytes (uint8) of kernel x kernel, rows `row` bytes apart, from address x on; windows
    `stride`, 1 or 2, apart. out: `columns` of them, in chunks of 64 / stride."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        _windows_in_lanes(builder, *arguments)
        return _context.get_dummy_value()

    return types.void(types.uintp, *[types.intp] * 5, types.uintp), build


def _windows_in_lanes(b: Any, x: Any, row: Any, kernel: Any, stride: Any, columns: Any, chunks: Any, out: Any) -> None:
    halves = b.icmp_signed("==", stride, v.i64(2))

    def chunk(at: Any, _: list[Any]) -> list[Any]:
        start = b.add(x, b.shl(at, v.i64(6)))

        def line(y: Any, best: list[Any]) -> list[Any]:
            def tap(k: Any, best: list[Any]) -> list[Any]:
                value = v.load(b, start, b.add(b.mul(y, row), k), v.B64)
                return [b.select(b.icmp_unsigned(">", value, best[0]), value, best[0])]

            return v.accumulate(b, kernel, best, tap)

        best = v.accumulate(b, kernel, [v.all_lanes(v.B64, 0)], line)[0]
        every = v.shuffled(b, best, best, [*range(0, 64, 2), *range(0, 64, 2)])
        lanes = b.select(halves, every, best)
        into = b.sdiv(b.shl(at, v.i64(6)), stride)
        _store_first(b, lanes, b.add(out, into), b.sub(columns, into))
        return []

    v.accumulate(b, chunks, [], chunk)


def _store_first(b: Any, lanes: Any, out: Any, count: Any) -> None:
    """Stores the first `count` bytes, all 64 where it is more."""
    narrow = b.trunc(b.select(b.icmp_signed("<", count, v.i64(64)), count, v.i64(64)), v.I8)
    number = ir.Constant(v.B64, list(range(64)))
    mask = b.icmp_unsigned("<", number, v.splat(b, narrow, v.B64))
    kind = ir.VectorType(v.I1, 64)
    store = v.external(b, "llvm.masked.store.v64i8.p0", ir.VoidType(), [v.B64, v.B64.as_pointer(), v.I32, kind])
    b.call(store, [lanes, b.inttoptr(out, v.B64.as_pointer()), ir.Constant(v.I32, 1), mask])


@njit(nogil=True, cache=True)
def pool_bytes(
    x: Array, size: Size, out: Array, made: Size, samples: int, kernel: int, stride: int, padding: int
) -> None:
    """`pool_rows` of bytes whose maps have borders of 0 as wide as the padding, for strides of 1 and 2."""
    chunks = -(-made[1] * stride // 64)
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            source = x.ctypes.data + (t * x.shape[1] + c) * x.shape[2]
            target = out.ctypes.data + (t * out.shape[1] + c) * out.shape[2]
            for sample in range(samples):
                for row in range(made[0]):
                    first = (sample * size[2] + row * stride - padding) * size[3] - padding
                    into = (sample * made[2] + row) * made[3]
                    start, end = np.uintp(source + first), np.uintp(target + into)
                    largest_bytes(start, size[3], kernel, stride, made[1], chunks, end)
