"""One node of a program, by `compiler.walk`, by the torch backend and by `fast`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from dirty_memory import DirtyMemory
from numpy.typing import NDArray
from rooms import extreme

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node, TensorType
from pumice.compiler.walk import stateless
from pumice.compiler.walk_neurons import active_neurons, begin, run_stateful
from pumice.runtime.fast.batch import Batch
from pumice.runtime.fast.lanes import held, storage
from pumice.runtime.fast.operations import run_node
from pumice.runtime.fast.plan import plan_of
from pumice.runtime.torch_backend import neurons
from pumice.runtime.torch_backend.devices import exact_products
from pumice.runtime.torch_backend.network import Loaded, load
from pumice.runtime.torch_backend.values import new_values, to_device

Ints = NDArray[np.int64]
Ran = tuple[Ints, Ints | None]  # values [T, B, …], active neurons [T, C, …]
Executor = Callable[[Graph, Node, list[Ints]], Ran]
STEPS, SAMPLES = 3, 2
Stateful = i.IntLif | i.Programmable
OPERANDS: dict[Any, Any] = {  # shapes of both operands and of the product, for heads of d and w channels, n tokens
    "scores": lambda h, d, w, n: ((h * d, n), (h * d, n), (h * n, n)),
    "scores-values": lambda h, d, w, n: ((h * n, n), (h * w, n), (h * w, n)),
    "keys-values": lambda h, d, w, n: ((h * d, n), (h * w, n), (h * d, w)),
    "queries-context": lambda h, d, w, n: ((h * d, n), (h * d, w), (h * w, n)),
}


def of(shape: tuple[int, ...], low: int, high: int, kind: Any = "graded") -> TensorType:
    return TensorType(shape, kind, low, high)


def graph_of(node: Node, *types: TensorType, steps: int = STEPS) -> Graph:
    """One node, and what it reads."""
    sources = [i.GradedInput(name, (), out, name, 1.0) for name, out in zip(node.inputs, types, strict=True)]
    return Graph({n.name: n for n in (*sources, node)}, node.name, "balanced", steps, "frames")


def drawn(out: TensorType, rng: np.random.Generator, steps: int = STEPS, samples: int = SAMPLES) -> Ints:
    """Values [T, B, …] of a type, many at its ends."""
    return extreme(rng, (steps, samples, *out.shape), out.low, out.high)


def by_walk(graph: Graph, node: Node, inputs: list[Ints]) -> Ran:
    """What a node means."""
    if isinstance(node, Stateful):
        return run_stateful(node, inputs, begin(node, inputs[0][0]))[:2]
    value = stateless(node, inputs, graph, inputs[0].shape[1], None)
    return value, active_neurons(node, inputs, value) if isinstance(node, i.Levels | i.Membrane) else None


def by_fast(graph: Graph, node: Node, inputs: list[Ints]) -> Ran:
    """In memory full of garbage."""
    batch = batch_of(graph, dict(zip(node.inputs, inputs, strict=True)))
    batch.values[node.name] = run_node(batch, node)
    return batch.dense(node.name), batch.active.get(node.name)


def batch_of(graph: Graph, inputs: dict[str, Ints]) -> Batch:
    """A batch whose sources have their values [T, B, …]."""
    batch = Batch(plan_of(graph), next(iter(inputs.values())).shape[1], None, DirtyMemory(), True)
    for name, value in inputs.items():
        source = graph.nodes[name]
        whole = value[:, :, None] if source.out.dtype == "mask" else value
        batch.values[name] = held(whole, batch.layout(source), storage(source.out), batch.memory)
    return batch


def run_nodes(batch: Batch, *names: str) -> None:
    """Nodes in turn, but those that are computed with a reader."""
    for name in names:
        node = batch.plan.graph.nodes[name]
        if not batch.plan.is_later(node, batch.counted):
            batch.values[name] = run_node(batch, node)


def by_torch(device: torch.device, graph: Graph, node: Node, inputs: list[Ints]) -> Ran:
    """Neurons in two parts, the second from the state that the first has left."""
    loaded = load(graph, device)
    tensors = [to_device(x, loaded.types[name], device) for name, x in zip(node.inputs, inputs, strict=True)]
    with exact_products(device):
        if isinstance(node, Stateful):
            return _neurons_by_torch(loaded, node, tensors)
        found = loaded.operations[node.name](tensors).to(loaded.types[node.name])
        active = loaded.active[node.name](tensors, found).cpu().numpy() if node.name in loaded.active else None
        return found.cpu().numpy(), active


def _neurons_by_torch(loaded: Loaded, node: Stateful, tensors: list[torch.Tensor]) -> Ran:
    cell, (steps, samples), device = loaded.cells[node.name], tensors[0].shape[:2], tensors[0].device
    state, sent, active, half = cell.begin(tensors[0][0]), [], [], -(-steps // 2)
    for part in (slice(0, half), slice(half, steps)):
        inputs = [x[part] for x in tensors]
        sent.append(new_values((len(inputs[0]), samples), node.out.shape, loaded.types[node.name], device))
        active.append(torch.zeros((len(inputs[0]), *node.out.shape), dtype=torch.int64, device=device))
        state = neurons.run(cell, inputs, state, sent[-1], active[-1])
    return torch.cat(sent).cpu().numpy(), torch.cat(active).cpu().numpy()


def executor_of(engine: str) -> Executor:
    """An engine of `backend_runs.ENGINES`."""
    return by_fast if engine == "fast" else partial(by_torch, torch.device(engine.removeprefix("torch-")))


def check(node: Node, types: list[TensorType], rng: np.random.Generator, run: Executor, steps: int = STEPS) -> None:
    """Values, and who was active, are those of the walk."""
    graph, inputs = graph_of(node, *types, steps=steps), [drawn(out, rng, steps) for out in types]
    (wanted, busy), (found, active) = by_walk(graph, node, inputs), run(graph, node, inputs)
    assert np.array_equal(found, wanted)
    if busy is not None:
        assert active is not None
        assert np.array_equal(active.reshape(busy.shape), busy)
