"""From a NIR graph to the float IR. What NIR leaves open must be said by the Pumice dialect; nothing is guessed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler.dialect import Extension, read_extension
from pumice.compiler.import_checks import check_gates, check_shapes
from pumice.compiler.ir import Change, Graph, Node, Shape, TensorType, in_topological_order
from pumice.errors import InputError, UnsupportedNode
from pumice.hwsim.scoring import Criterion


@dataclass(frozen=True)
class Site:
    """A NIR node in its place: name, inputs by name, and the shapes they carry."""

    name: str
    inputs: tuple[str, ...]
    shapes: tuple[Shape, ...]

    def out(self, shape: Shape | None = None) -> TensorType:
        return TensorType(self.shapes[0] if shape is None else shape)


def import_nir(graph: nir.NIRGraph) -> Graph:
    """The float graph of `graph`, at stage "imported".

    Raises UnsupportedNode naming the first node that has no meaning here, InputError for NaN or misshapen arrays.
    """
    sources = _sources(graph)
    facts = _model_facts(graph)
    nodes: dict[str, Node] = {}
    for name in _order(graph, sources):
        if isinstance(graph.nodes[name], nir.Output):
            continue
        for node in _import_node(graph.nodes[name], name, sources[name], nodes):
            nodes[node.name] = node
    output = _output(graph, sources)
    check_shapes(nodes)
    check_gates(nodes)
    change = Change("import-nir", output, f"read {len(graph.nodes)} NIR nodes", {"nodes": len(graph.nodes)})
    timesteps, encoding = int(facts.get("timesteps", 1)), facts.get("encoding", "frames")
    if timesteps < 1 or encoding not in ("repeat", "frames"):
        raise InputError(
            f"input: timesteps {timesteps}, encoding {encoding!r}", 'need timesteps >= 1 and "repeat" or "frames"'
        )
    return Graph(in_topological_order(nodes), output, "imported", timesteps, encoding, (change,))


def _sources(graph: nir.NIRGraph) -> dict[str, list[str]]:
    sources: dict[str, list[str]] = defaultdict(list)
    for a, b in sorted(graph.edges):
        for name in (a, b):
            if name not in graph.nodes:
                raise InputError(f"edge ({a!r}, {b!r}) names {name!r}, which is not a node", "export the graph again")
        sources[b].append(a)
    return sources


def _model_facts(graph: nir.NIRGraph) -> dict[str, Any]:
    inputs = [(name, node) for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(inputs) != 1:
        raise UnsupportedNode(f"{len(inputs)} input nodes", "Pumice compiles graphs with one input")
    entry = read_extension(inputs[0][1], inputs[0][0])
    return entry.attributes if entry else {}


def _output(graph: nir.NIRGraph, sources: dict[str, list[str]]) -> str:
    outputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
    if len(outputs) != 1 or len(sources[outputs[0]]) != 1:
        raise UnsupportedNode(f"{len(outputs)} output nodes", "Pumice compiles graphs with one output, fed by one node")
    return sources[outputs[0]][0]


def _order(graph: nir.NIRGraph, sources: dict[str, list[str]]) -> list[str]:
    stubs = {n: Node(n, tuple(sources[n]), TensorType(()), n) for n in sorted(graph.nodes)}
    for name, node in graph.nodes.items():
        if not sources[name] and not isinstance(node, nir.Input):
            raise UnsupportedNode(f"node {name!r} has no input", "connect it or remove it")
    return list(in_topological_order(stubs))


def _import_node(node: nir.NIRNode, name: str, sources: list[str], done: dict[str, Node]) -> list[Node]:
    entry = read_extension(node, name)
    operands = tuple(entry.operands) if entry and entry.operands else tuple(sources)
    if set(operands) != set(sources):
        raise InputError(
            f"node {name!r}: operands {operands} do not match its edges {tuple(sources)}", "export it again"
        )
    site = Site(name, operands, tuple(done[s].out.shape for s in operands))
    nodes: list[Node] = []
    if len(operands) > 1 and not (entry and entry.operands) and not _is_identity(node):
        nodes.append(f.Add(f"{name}.sum", operands, site.out(), name))
        site = Site(name, (f"{name}.sum",), (site.shapes[0],))
    if entry and entry.op:
        return [*nodes, _import_extension(entry, site)]
    return [*nodes, _import_standard(node, entry, site)]


def _is_identity(node: nir.NIRNode) -> bool:
    return isinstance(node, nir.Scale) and bool(np.all(node.scale == 1))


def _import_standard(node: nir.NIRNode, entry: Extension | None, site: Site) -> Node:
    """The float node of a standard NIR node."""
    _check_numbers(vars(node), site)
    match node:
        case nir.Input():
            shape = tuple(int(n) for n in next(iter(node.input_type.values())))
            return f.Input(site.name, (), TensorType(shape), site.name)
        case nir.Conv2d() | nir.Conv1d():
            return _import_conv(node, site)
        case nir.Affine() | nir.Linear():
            return _import_linear(node, site)
        case nir.LIF():
            return _import_lif(node, entry, site)
        case nir.Flatten():
            return f.Reshape(site.name, site.inputs, site.out(_flattened(node, site)), site.name)
        case nir.Scale() if _is_identity(node):
            return f.Add(site.name, site.inputs, site.out(), site.name)
        case _:
            raise UnsupportedNode(
                f"node {site.name!r}: {type(node).__name__} is not supported",
                "supported: Input, Output, Conv1d (kernel 1), Conv2d, Affine, Linear, LIF, Flatten, Scale(1), dialect operations",
            )


def _check_numbers(arrays: Mapping[str, Any], site: Site) -> None:
    for field, value in arrays.items():
        if not isinstance(value, np.ndarray):
            continue
        if value.dtype.kind not in "fiub" or (value.dtype.kind == "f" and not np.isfinite(value).all()):
            raise InputError(
                f"node {site.name!r}: {field} holds NaN, infinity or no numbers", "train or export the model again"
            )


def _import_conv(node: Any, site: Site) -> Node:
    weight = np.asarray(node.weight)
    one_d = isinstance(node, nir.Conv1d)
    stride, padding, dilation = (_pair(v, one_d) for v in (node.stride, node.padding, node.dilation))
    if int(node.groups) != 1 or dilation != (1, 1):
        raise UnsupportedNode(
            f"node {site.name!r}: groups {node.groups}, dilation {dilation}", "groups and dilation must be 1"
        )
    if one_d and (weight.shape[2] != 1 or stride != (1, 1) or padding != (0, 0)):
        raise UnsupportedNode(
            f"node {site.name!r}: Conv1d with kernel {weight.shape[2]}", "only token-wise Conv1d (kernel 1)"
        )
    if weight.shape[1] != site.shapes[0][0]:
        raise InputError(
            f"node {site.name!r}: weight takes {weight.shape[1]} channels, its input has {site.shapes[0][0]}", ""
        )
    weight = weight[..., None] if one_d else weight
    spatial = site.shapes[0][1:] if not one_d else (site.shapes[0][1], 1)
    out = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(spatial, padding, weight.shape[2:], stride, strict=True)]
    shape = (weight.shape[0], out[0]) if one_d else (weight.shape[0], *out)
    return f.Conv(site.name, site.inputs, site.out(shape), site.name, weight, np.asarray(node.bias), stride, padding)


def _pair(value: Any, one_d: bool) -> tuple[int, int]:
    if isinstance(value, str):
        raise UnsupportedNode(f"padding {value!r}", "give the padding as numbers")
    flat = [int(v) for v in np.ravel(value)]
    if one_d:
        return (flat[0], 1 if flat[0] == 1 else 0)
    return (flat[0], flat[-1])


def _import_linear(node: Any, site: Site) -> Node:
    weight = np.asarray(node.weight)
    if site.shapes[0] != (weight.shape[1],):
        raise InputError(
            f"node {site.name!r}: weight takes {weight.shape[1]} values, its input is {site.shapes[0]}", ""
        )
    bias = np.asarray(node.bias) if isinstance(node, nir.Affine) else np.zeros(weight.shape[0], weight.dtype)
    return f.Linear(site.name, site.inputs, site.out((weight.shape[0],)), site.name, weight, bias)


def _import_lif(node: Any, entry: Extension | None, site: Site) -> Node:
    said = entry.attributes if entry else {}
    missing = [key for key in ("dt", "comparator", "reset") if key not in said]
    if missing:
        raise UnsupportedNode(
            f"node {site.name!r}: the file does not say its {', '.join(missing)}",
            "NIR carries no timestep, comparator or reset; export with `pumice export`, which writes them",
        )
    tau, threshold = _uniform(node.tau, "tau", site), _uniform(node.v_threshold, "v_threshold", site)
    for field, wanted in (("r", 1.0), ("v_leak", 0.0), ("v_reset", 0.0)):
        if _uniform(getattr(node, field), field, site) != wanted:
            raise UnsupportedNode(
                f"node {site.name!r}: {field} is not {wanted}", f"Pumice reads LIF with {field} = {wanted}"
            )
    if said["reset"] != "hard" or said["comparator"] not in (">", ">="):
        raise UnsupportedNode(f"node {site.name!r}: reset {said['reset']!r}, comparator {said['comparator']!r}", "")
    return f.Lif(site.name, site.inputs, site.out(), site.name, tau / float(said["dt"]), threshold, said["comparator"])


def _uniform(value: Any, field: str, site: Site) -> float:
    flat = np.unique(np.asarray(value, np.float64))
    if flat.size != 1:
        raise UnsupportedNode(
            f"node {site.name!r}: {field} differs between neurons", "one value per layer is supported"
        )
    return float(flat[0])


def _flattened(node: Any, site: Site) -> Shape:
    shape = site.shapes[0]
    start, end = int(node.start_dim), int(node.end_dim) % len(shape)
    return (*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :])


def _import_extension(entry: Extension, site: Site) -> Node:
    """The float node of a dialect operation."""
    a, arrays, shape = entry.attributes, entry.arrays, site.shapes[0]
    _check_numbers(arrays, site)
    try:
        match entry.op:
            case "BatchNorm":
                gamma, beta, mean, var = (np.asarray(arrays[key]) for key in ("gamma", "beta", "mean", "var"))
                eps = float(a["eps"])
                return f.BatchNorm(site.name, site.inputs, site.out(), site.name, gamma, beta, mean, var, eps)
            case "SpikeMaxPool":
                k, s, p = int(a["kernel"]), int(a["stride"]), int(a["padding"])
                out = (shape[0], *((n + 2 * p - k) // s + 1 for n in shape[1:]))
                return f.SpikeMaxPool(site.name, site.inputs, site.out(out), site.name, k, s, p)
            case "SpikingSelfAttention":
                return f.Attention(site.name, site.inputs, site.out(), site.name, int(a["heads"]), float(a["scale"]))
            case "TokenGate":
                return _import_gate(a, site)
            case "TokenMean":
                return f.TokenMean(site.name, site.inputs, site.out((shape[0],)), site.name)
            case "TimeMean":
                return f.TimeMean(site.name, site.inputs, site.out(), site.name)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"node {site.name!r}: {entry.op} entry is incomplete ({error})", "export it again") from error
    raise UnsupportedNode(f"node {site.name!r}: operation {entry.op!r}", "")


def _import_gate(a: dict[str, Any], site: Site) -> Node:
    if "mask_of" in a:
        return f.TokenGate(site.name, site.inputs, site.out(), site.name, str(a["mask_of"]))
    return f.TokenGate(
        site.name,
        site.inputs,
        site.out(),
        site.name,
        mask_of="",
        block=int(a["block"]),
        grid=(int(a["height"]), int(a["width"])),
        retention=float(a["retention"]),
        criterion=Criterion(**a["criterion"]),
        state=a["state"],
        neurons=tuple(a["neurons"]),
    )
