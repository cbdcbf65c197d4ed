"""Makes the float nodes of a flat NIR graph, one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nir
import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.importing.extensions import import_extension
from pumice.compiler.importing.general import delay_steps, read_node
from pumice.compiler.importing.nested import FlatGraph
from pumice.compiler.importing.nodes import Site, import_standard, is_identity
from pumice.compiler.importing.readings import Reading
from pumice.compiler.importing.said import own_reading
from pumice.compiler.importing.wires import Wires, reading_here
from pumice.compiler.ir import Change, Node, Shape, TensorType, in_topological_order
from pumice.errors import InputError, PumiceError

Failed = Callable[[str, PumiceError], None]
Made = tuple[list[Node], list[Change]]


def make_nodes(
    flat: FlatGraph, passed: Mapping[str, str], wires: Wires, reading: Reading | None, failed: Failed | None
) -> tuple[dict[str, Node], list[Change]]:
    """All nodes by name, and what was assumed or mended."""
    shapes = _shapes(flat, wires, reading) if wires.late or wires.held else {}
    done: dict[str, Node] = {}
    changes: list[Change] = []
    skipped = {*passed, *flat.named(nir.Output)}
    for name in _order(wires):
        if name in skipped:
            continue
        try:
            nodes, notes = _make(name, flat, passed, wires, reading, done, shapes)
        except PumiceError as error:
            if failed is None:
                raise
            failed(name, error)
            nodes, notes = [_unknown(name, flat, wires, done, error)], []
        done |= {node.name: node for node in nodes}
        changes += notes
    return done, changes


def _order(wires: Wires) -> list[str]:
    """Names, inputs first; the open ends of cycles have none."""
    sources = {name: () if name in wires.held else found for name, found in sorted(wires.sources.items())}
    sources |= dict.fromkeys(wires.late, ())
    stubs = {name: Node(name, found, TensorType(()), name) for name, found in sources.items()}
    return list(in_topological_order(stubs))


def _make(
    name: str,
    flat: FlatGraph,
    passed: Mapping[str, str],
    wires: Wires,
    reading: Reading | None,
    done: Mapping[str, Node],
    shapes: Mapping[str, Shape],
) -> Made:
    if name in wires.late:
        of = wires.late[name]
        ones = np.ones(shapes[of], np.int64)
        return [g.Feedback(name, (), TensorType(shapes[of]), of, of, ones)], []
    if name in wires.held:
        return _held(name, flat, wires.sources[name], reading, shapes)
    operands = _operands(name, flat, wires.sources[name])
    operands = tuple(passed.get(source, source) for source in operands)
    return _read(name, flat, operands, tuple(done[s].out.shape for s in operands), reading)


def _operands(name: str, flat: FlatGraph, sources: Sequence[str]) -> tuple[str, ...]:
    entry = flat.entries[name]
    operands = tuple(entry.operands) if entry and entry.operands else tuple(sources)
    if set(operands) != set(sources):
        raise InputError(
            f"node {name!r}: operands {operands} do not match its edges {tuple(sources)}", "export it again"
        )
    return operands


def _read(
    name: str, flat: FlatGraph, operands: tuple[str, ...], shapes: tuple[Shape, ...], reading: Reading | None
) -> Made:
    """The nodes of one NIR node whose inputs have the given names and shapes."""
    node, entry = flat.nodes[name], flat.entries[name]
    site = Site(name, operands, shapes)
    if name in flat.joints:
        return [f.Add(name, operands, site.out(), name)], []
    nodes: list[Node] = []
    if len(operands) > 1 and not (entry and entry.operands) and not is_identity(node):
        nodes.append(_sum(site, flat))
        site = Site(name, (nodes[0].name,), (site.shapes[0],))
    if entry and entry.op:
        return [*nodes, import_extension(entry, site)], []
    meaning = reading or own_reading(node, entry)
    if meaning is None:
        return [*nodes, import_standard(node, entry, site)], []
    made, changes = read_node(node, entry, site, meaning)
    return [*nodes, made], changes


def _sum(site: Site, flat: FlatGraph) -> f.Add:
    name = f"{site.name}.sum"
    if name in flat.nodes:
        raise InputError(f"node {name!r}: the name is that of the sum before {site.name!r}", "rename it")
    return f.Add(name, site.inputs, site.out(), site.name)


def _held(
    name: str, flat: FlatGraph, sources: tuple[str, ...], reading: Reading | None, shapes: Mapping[str, Shape]
) -> Made:
    """A Delay that closes a cycle: it reads what feeds it from earlier steps."""
    site = Site(name, sources, tuple(shapes[s] for s in sources))
    changes: list[Change] = []
    meaning = reading_here(flat, site, reading)
    assert meaning is not None  # without one no Delay is held
    steps = delay_steps(flat.nodes[name], site, meaning, changes)
    joined = [_sum(site, flat)] if len(sources) > 1 else []
    of = joined[0].name if joined else sources[0]
    return [*joined, g.Feedback(name, (), site.out(), name, of, steps)], changes


def _shapes(flat: FlatGraph, wires: Wires, reading: Reading | None) -> dict[str, Shape]:
    """The shape that each node gives, found from the inputs onward through the cycles."""
    found: dict[str, Shape] = {}
    waiting = list(flat.nodes)
    while waiting:
        left = []
        for name in waiting:
            shape = _shape(name, flat, found, reading)
            if shape is None:
                left.append(name)
            else:
                found[name] = shape
        if len(left) == len(waiting):
            raise InputError(f"node {left[0]!r}: its shape follows from no input", "connect it to an input")
        waiting = left
    return found | {name: found[of] for name, of in wires.late.items()}


def _shape(name: str, flat: FlatGraph, found: Mapping[str, Shape], reading: Reading | None) -> Shape | None:
    """One known input tells the shape of most nodes; operations with named operands need all of theirs."""
    entry = flat.entries[name]
    known = [s for s in (entry.operands if entry and entry.operands else flat.sources[name]) if s in found]
    if not known and flat.sources[name]:
        return None
    if entry and entry.operands and len(known) < len(entry.operands):
        return None
    if name in flat.joints or isinstance(flat.nodes[name], nir.Output):
        return found[known[0]]
    operands = tuple(known) if entry and entry.operands else tuple(known[:1])
    made, _ = _read(name, flat, operands, tuple(found[s] for s in operands), reading)
    return made[-1].out.shape


def _unknown(name: str, flat: FlatGraph, wires: Wires, done: Mapping[str, Node], error: PumiceError) -> g.Unknown:
    """A stand-in of the shape that NIR declares, or that its first input has."""
    node: Any = flat.nodes.get(name)
    sources = tuple(s for s in wires.sources.get(name, ()) if s in done)
    declared = next(iter((getattr(node, "output_type", None) or {}).values()), None)
    shape: Shape = done[sources[0]].out.shape if sources else ()
    if declared is not None and all(n is not None for n in np.ravel(declared)):
        shape = tuple(int(n) for n in np.ravel(declared)) or shape
    return g.Unknown(name, sources, TensorType(shape), name, str(error))
