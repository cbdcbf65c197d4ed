"""Runs the float IR of any NIR graph in float64 on torch: every reading, cycles included, before anything is quantized.

Layers on no cycle run over all timesteps at once, one layer after the other; those of a cycle run together, step by step. Both
are the same computation, for nothing but a neuron, a delay and a feedback looks at another timestep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.evaluate import evaluate, frames
from pumice.compiler.ir import Graph, Node
from pumice.compiler.loops import parts, runs_at_once
from pumice.errors import BackendUnavailable, InputError, RunError

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GraphRun:
    """outputs: per NIR output, [T, B, …]. values: per node of the float IR, [T, B, …]; neurons that fire give their spikes."""

    outputs: Mapping[str, Floats]
    values: Mapping[str, Floats]


def run_graph(graph: Graph, inputs: Mapping[str, NDArray[Any]]) -> GraphRun:
    """The graph on frames [T, B, …] for each of its inputs. Token gates route live, as `compiler.evaluate` does.

    Raises InputError for frames that do not fit, RunError where token gates and general NIR nodes meet in one graph.
    """
    given = {name: np.asarray(x, np.float64) for name, x in inputs.items()}
    _check_frames(graph, given)
    if any(isinstance(node, f.TokenGate) for node in graph.nodes.values()):
        values = _routed(graph, given)
    else:
        values = _torch_values(graph, given)
    return GraphRun({name: values[node] for name, node in graph.outputs}, values)


def input_nodes(graph: Graph) -> list[f.Input]:
    """The inputs of a graph, in its order."""
    return [node for node in graph.nodes.values() if isinstance(node, f.Input)]


def graph_frames(graph: Graph, samples: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], bool]:
    """Samples as frames [T, B, …], and whether there was a batch. Without one a sample is [T, …], or, of a graph that shows a
    static sample, […]; with one there is an axis before these. Raises InputError for anything else."""
    found: dict[str, NDArray[Any]] = {}
    batched: set[bool] = set()
    for node in input_nodes(graph):
        array = samples.get(node.name)
        if array is None:
            raise InputError(f"no input for {node.name!r}", f"give an .npz with {', '.join(_names(graph))}")
        axes = array.ndim - len(node.out.shape) - (graph.encoding == "frames")
        if axes not in (0, 1) or array.shape[array.ndim - len(node.out.shape) :] != node.out.shape:
            time = ["T"] if graph.encoding == "frames" else []
            wanted = ", ".join([*time, *map(str, node.out.shape)])
            raise InputError(
                f"input {node.name!r}: shape {array.shape}, the network takes [{wanted}] or [samples, {wanted}]",
                "reshape the array",
            )
        batched.add(axes == 1)
        found[node.name] = frames(graph, array if axes else array[None])
    if len(batched) > 1:
        raise InputError("some inputs have an axis of samples and some have not", "give all of them one, or none")
    return found, batched == {True}


def _names(graph: Graph) -> list[str]:
    return [node.name for node in input_nodes(graph)]


def _check_frames(graph: Graph, given: Mapping[str, Floats]) -> None:
    leading = set()
    for node in input_nodes(graph):
        x = given.get(node.name)
        if x is None or x.ndim != len(node.out.shape) + 2 or x.shape[2:] != node.out.shape or 0 in x.shape[:2]:
            has = "nothing" if x is None else f"shape {x.shape}"
            wanted = ", ".join(map(str, node.out.shape))
            raise InputError(f"input {node.name!r}: {has}, the network takes [T, B, {wanted}]", "reshape the array")
        if not np.isfinite(x).all():
            raise InputError(f"input {node.name!r} holds NaN or infinity", "give finite numbers")
        leading.add(x.shape[:2])
    if len(leading) > 1:
        raise InputError(f"inputs of {sorted(leading)} timesteps and samples", "give all inputs the same")


def _routed(graph: Graph, given: Mapping[str, Floats]) -> dict[str, Floats]:
    """A graph with token gates: masks are scored over all timesteps, which numpy does for the compiler already."""
    general = [n for n in graph.nodes.values() if type(n).__module__ == g.__name__]
    if general or len(given) != 1:
        what = f"node {general[0].source!r}" if general else f"{len(given)} inputs"
        raise RunError(f"{what} in a graph with token gates", "the float executor runs gates with dialect nodes only")
    (x,) = given.values()
    sample = x[0] if graph.encoding == "repeat" else np.moveaxis(x, 0, 1)
    return dict(evaluate(graph, sample).values)


def _torch_values(graph: Graph, given: Mapping[str, Floats]) -> dict[str, Floats]:
    try:
        import torch
    except ImportError as error:
        raise BackendUnavailable("the float backend needs PyTorch", "pip install 'pumice[torch]'") from error
    from pumice.runtime.float_steps import Steps

    values = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in given.items()}
    with torch.no_grad():
        for part in parts(graph):
            if runs_at_once(part) and not isinstance(part[0], g.Feedback):
                values |= _layer(part[0], values, Steps)
            else:
                values |= _loop(part, values, Steps)
    return {name: values[name].numpy() for name in graph.nodes}


def _layer(node: Node, values: Mapping[str, Tensor], steps: Callable[[Node], Any]) -> dict[str, Tensor]:
    """One node over all timesteps."""
    if isinstance(node, f.Input):
        return {}
    return {node.name: steps(node).over_time([values[name] for name in node.inputs])}


def _loop(part: list[Node], values: Mapping[str, Tensor], steps: Callable[[Node], Any]) -> dict[str, Tensor]:
    """The nodes of a cycle, step by step. A feedback reads what its node gave before."""
    import torch

    some = next(iter(values.values()))
    made = {node.name: torch.zeros(*some.shape[:2], *node.out.shape, dtype=torch.float64) for node in part}
    movers = [(node, steps(node)) for node in part]
    for t in range(some.shape[0]):
        for node, mover in movers:
            if isinstance(node, g.Feedback):
                made[node.name][t] = mover.past(made.get(node.of, values.get(node.of)), t)
            else:
                now = [(made if name in made else values)[name][t] for name in node.inputs]
                made[node.name][t] = mover.step(now)
    return made
