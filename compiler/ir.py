"""The IR: frozen nodes in a frozen graph. Passes build new graphs; nothing is changed in place.

Float and integer stages have their own node classes (`float_nodes`, `int_nodes`), so a value's side of quantization is
its node's type. Shapes leave out time and batch: feature maps are `[C, H, W]`, tokens `[C, N]`, logits `[K]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pumice.errors import VerifyError

Shape = tuple[int, ...]
Stage = Literal["imported", "folded", "quantized", "masked", "lowered", "balanced"]
STAGES: tuple[Stage, ...] = ("imported", "folded", "quantized", "masked", "lowered", "balanced")


@dataclass(frozen=True)
class TensorType:
    """What flows along an edge at one timestep.

    dtype: "float" before quantization; "spike" (0/1), "graded" (integer payload), "current" (synaptic sum), "mask" (one
    bit a token) after it. low, high: inclusive integer range, 0 for floats. frac_bits: fractional bits of the integer.
    """

    shape: Shape
    dtype: Literal["float", "spike", "graded", "current", "mask"] = "float"
    low: int = 0
    high: int = 0
    frac_bits: int = 0

    @property
    def bits(self) -> int:
        """Bits that a payload needs, sign included."""
        return bits_of(self.low, self.high)

    def __str__(self) -> str:
        dims = "×".join(str(n) for n in self.shape)
        return f"{self.dtype}[{dims}]" if self.dtype == "float" else f"{self.dtype}{self.bits}[{dims}]"


def bits_of(low: int, high: int) -> int:
    """Bits that integers from `low` to `high` need, sign included."""
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + (low < 0)


@dataclass(frozen=True, eq=False)
class Node:
    """One operation. `source` names the user's NIR node, so that every message points at the user's model."""

    name: str
    inputs: tuple[str, ...]
    out: TensorType
    source: str


@dataclass(frozen=True)
class Change:
    """One thing that a pass did: the sentence for people, the numbers for JSON."""

    by: str
    node: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order. `timesteps`: T of one sample; `encoding`: "repeat" shows a static sample T times,
    "frames" takes `[T, …]` samples. `log`: what the passes so far changed. `outputs`: for each NIR output the node that gives
    its value, until `quantize` the one that feeds it in the file, then that one's read-out; `output` is the first of them."""

    nodes: Mapping[str, Node]
    output: str
    stage: Stage
    timesteps: int
    encoding: Literal["repeat", "frames"]
    log: tuple[Change, ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()

    @property
    def ends(self) -> tuple[str, ...]:
        """The nodes whose values are the network's outputs, the first one first."""
        return (self.output, *(node for _, node in self.outputs[1:]))

    def consumers(self) -> dict[str, list[Node]]:
        """For each node name, the nodes that read it, a feedback among them."""
        readers: dict[str, list[Node]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for name in (*node.inputs, *([of_feedback(node)] if of_feedback(node) else [])):
                readers[name].append(node)
        return readers


def sole(name: str, readers: Mapping[str, list[Node]]) -> Node | None:
    """What reads a node, if only one does, and once."""
    found = readers[name]
    return found[0] if len(found) == 1 else None


def of_feedback(node: Node) -> str:
    """The node whose past a `Feedback` of either stage reads; "" for all other nodes."""
    return str(getattr(node, "of", ""))


def rebuilt(graph: Graph, nodes: Iterable[Node], stage: Stage, changes: Iterable[Change], output: str = "") -> Graph:
    """`graph` with other nodes, sorted topologically (stable), at `stage`, with `changes` added to its log."""
    ordered = in_topological_order({node.name: node for node in nodes})
    return replace(graph, nodes=ordered, stage=stage, output=output or graph.output, log=(*graph.log, *changes))


def in_topological_order(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Nodes so that inputs come first; otherwise in the order given. Raises VerifyError on a cycle or a lost input."""
    for node in nodes.values():
        lost = [name for name in node.inputs if name not in nodes]
        if lost:
            raise VerifyError(f"node {node.name!r} reads {lost[0]!r}, which does not exist")
    done: dict[str, Node] = {}
    waiting = list(nodes.values())
    while waiting:
        ready = [node for node in waiting if all(name in done for name in node.inputs)]
        if not ready:
            names = ", ".join(sorted(node.name for node in waiting)[:5])
            raise VerifyError(f"the graph has a cycle without a delay through {names}")
        done |= {node.name: node for node in ready}
        waiting = [node for node in waiting if node.name not in done]
    return done
