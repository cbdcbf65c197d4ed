"""LLVM vectors inside numba functions: what numba's own loops do not reach, int8 dot products above all.

Addresses are integers (`array.ctypes.data`), since a tile works on a part of an array. Vectors have 16 lanes of 32 bits or as
many narrower ones as fill 64 bytes; LLVM splits them where the machine has shorter registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import config
from numba.core.codegen import get_host_cpu_features

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
LANES = 64  # lanes of a tile
V16 = ir.VectorType(I32, 16)
H32 = ir.VectorType(I16, 32)
B64 = ir.VectorType(I8, 64)
M16 = ir.VectorType(I1, 16)


def has_feature(name: str) -> bool:
    """Whether the processor that numba compiles for has an instruction set, by LLVM's name for it: this machine's, unless
    NUMBA_CPU_FEATURES, NUMBA_CPU_NAME=generic or NUMBA_ENABLE_AVX=0 say else."""
    said = config.CPU_FEATURES
    return f"+{name}" in (get_host_cpu_features() if said is None else said).split(",")


def i64(value: int) -> ir.Constant:
    """A 64-bit constant."""
    return ir.Constant(I64, value)


def all_lanes(vector: ir.VectorType, value: int) -> ir.Constant:
    """The same constant in every lane."""
    return ir.Constant(vector, [value] * vector.count)


def splat(builder: Any, scalar: Any, vector: ir.VectorType) -> Any:
    """A scalar in every lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count))


def shuffled(builder: Any, a: Any, b: Any, lanes: Sequence[int]) -> Any:
    """The lanes of a, then b, in the order of their numbers."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


def at(builder: Any, address: Any, offset: Any, kind: Any) -> Any:
    """A typed pointer `offset` bytes after an address; offset: a number or a 64-bit value."""
    moved = builder.add(address, i64(offset) if isinstance(offset, int) else offset)
    return builder.inttoptr(moved, kind.as_pointer())


def load(builder: Any, address: Any, offset: Any, kind: Any, align: int = 1) -> Any:
    """A value of type `kind`, `offset` bytes after an address."""
    value = builder.load(at(builder, address, offset, kind))
    value.align = align
    return value


def store(builder: Any, value: Any, address: Any, offset: Any, align: int = 1) -> None:
    """Stores a value `offset` bytes after an address."""
    builder.store(value, at(builder, address, offset, value.type)).align = align


def prefetch(builder: Any, address: Any, offset: Any, write: bool = False) -> None:
    """Asks for the line `offset` bytes after an address, which will be read or written soon; harmless wherever that is."""
    kind = I8.as_pointer()
    call = external(builder, "llvm.prefetch.p0", ir.VoidType(), [kind, I32, I32, I32])
    builder.call(call, [at(builder, address, offset, I8), *(ir.Constant(I32, number) for number in (int(write), 2, 1))])


def external(builder: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """An LLVM intrinsic by its name."""
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


def push(builder: Any, value: Any, routed: Any, address: Any, offset: Any) -> None:
    """Stores the bytes of a vector that are routed, one after another, `offset` bytes after an address."""
    name = f"llvm.masked.compressstore.v{value.type.count}i8"
    store = external(builder, name, ir.VoidType(), [value.type, I8.as_pointer(), routed.type])
    builder.call(store, [value, at(builder, address, offset, I8), routed])


def accumulate(
    builder: Any, steps: Any, start: Sequence[Any], body: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """A loop over `steps` (64 bits, may be 0) that carries vectors: body(step, carried) gives the next ones."""
    before = builder.block
    loop, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", steps, i64(0)), loop, done)
    builder.position_at_end(loop)
    step = builder.phi(I64)
    step.add_incoming(i64(0), before)
    carried = [_phi(builder, value, before) for value in start]
    new = body(step, carried)
    end = builder.block  # of the body, which may hold loops of its own
    after = builder.add(step, i64(1))
    step.add_incoming(after, end)
    for phi, value in zip(carried, new, strict=True):
        phi.add_incoming(value, end)
    builder.cbranch(builder.icmp_signed("<", after, steps), loop, done)
    builder.position_at_end(done)
    return [joined(builder, (first, before), (last, end)) for first, last in zip(start, new, strict=True)]


def flag(builder: Any, value: Any) -> Any:
    """A numba boolean as one bit."""
    return value if value.type == I1 else builder.trunc(value, I1)


def joined(builder: Any, *values: Any) -> Any:
    """What comes from whichever block was run: pairs of value and block."""
    phi = builder.phi(values[0][0].type)
    for value, block in values:
        phi.add_incoming(value, block)
    return phi


def _phi(builder: Any, value: Any, block: Any) -> Any:
    phi = builder.phi(value.type)
    phi.add_incoming(value, block)
    return phi
