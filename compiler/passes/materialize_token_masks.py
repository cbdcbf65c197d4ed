"""materialize-token-masks: IRToP's token choice becomes routing masks, one bit per block, timestep and token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import as_map, as_tokens, evaluate
from pumice.compiler.ir import Change, Graph, Node, TensorType, rebuilt
from pumice.compiler.options import MaskMode
from pumice.compiler.selector import selected, selector_scores
from pumice.errors import InputError, UnsupportedNode
from pumice.hwsim.scoring import keep_top, sample_scores, tokens_kept
from pumice.hwsim.spec import ChipSpec

Masks = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MaterializeTokenMasks:
    """mode: where masks come from (see CompileOptions.masks). static: per scoring gate, masks [T, N], for mode "static".

    A block that keeps every token needs no mask: its gates disappear. Mode "off" removes all of them.
    """

    name: ClassVar[str] = "materialize-token-masks"
    mode: MaskMode
    static: Mapping[str, Masks] = field(default_factory=dict)

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph:
        gates = {n.name: n for n in graph.nodes.values() if isinstance(n, i.TokenGate) and not n.mask_of}
        kept = {name: gate for name, gate in gates.items() if self.mode != "off" and _prunes(gate)}
        masks = {name: self._mask(gate) for name, gate in kept.items()}
        mask_of = {neuron: name for name, gate in kept.items() for neuron in gate.neurons}
        renamed: dict[str, str] = {}
        nodes: list[Node] = list(masks.values())
        for node in graph.nodes.values():
            node = replace(node, inputs=tuple(renamed.get(n, n) for n in node.inputs))
            if isinstance(node, i.TokenGate) and (node.mask_of or node.name) not in kept:
                renamed[node.name] = node.inputs[0]
            elif isinstance(node, i.TokenGate):
                nodes.append(replace(node, inputs=(node.inputs[0], masks[node.mask_of or node.name].name)))
            elif node.name in mask_of:
                gate = kept[mask_of[node.name]]
                nodes.append(_gated(node, masks[gate.name].name, gate.state))
            else:
                nodes.append(node)
        nodes = [replace(n, inputs=tuple(renamed.get(x, x) for x in n.inputs)) for n in nodes]
        changes = [self._change(gate, masks.get(name)) for name, gate in gates.items()]
        return rebuilt(graph, nodes, "masked", changes)

    def _mask(self, gate: i.TokenGate) -> Node:
        """The source of a block's mask."""
        tokens = gate.grid[0] * gate.grid[1]
        name, out = f"{gate.name}.mask", TensorType((tokens,), "mask", 0, 1)
        if self.mode == "static":
            return i.StaticMask(name, (), out, gate.source, gate.block, self.static[gate.name])
        if self.mode == "given":
            return i.GivenMask(name, (), out, gate.source, gate.block)
        if gate.criterion is None or not gate.criterion.causal:
            raise InputError(
                f"node {gate.source!r}: its criterion looks at all timesteps, so a chip cannot score it live",
                "compile with --masks static or given, or export with a per-timestep criterion",
            )
        return i.LiveMask(
            name, gate.inputs[-1:], out, gate.source, gate.block, gate.grid, gate.retention, gate.criterion
        )

    def _change(self, gate: i.TokenGate, mask: Node | None) -> Change:
        tokens = gate.grid[0] * gate.grid[1]
        if mask is None:
            return Change(self.name, gate.name, f"block {gate.block}: all {tokens} tokens routed", {"retention": 1.0})
        rule = gate.criterion.rule if gate.criterion else "given"
        kept = kept_tokens(gate)
        text = f"block {gate.block}: {self.mode} masks ({rule}), {kept} of {tokens} tokens a step, state {gate.state}"
        data: dict[str, Any] = {"block": gate.block, "mode": self.mode, "kept": kept, "tokens": tokens}
        return Change(self.name, gate.name, text, data)


def _gated(node: Node, mask: str, state: Literal["hold", "decay"]) -> Node:
    """Neurons that take a routing mask as their last input."""
    inputs = (*node.inputs, mask)
    match node:
        case i.IntLif():
            return replace(node, inputs=inputs, gate_state=state)
        case i.Levels() | i.Membrane():
            return replace(node, inputs=inputs, gated=True)
        case _:
            raise UnsupportedNode(f"node {node.source!r}: {type(node).__name__} cannot be gated", "gate neurons")


def static_masks(graph: Graph, calibration: NDArray[Any]) -> dict[str, Masks]:
    """Per scoring gate of a float graph, the mask [T, N] of the tokens with the best mean score over calibration samples.

    Each block is scored with the masks of the blocks before it already in force.
    """
    chosen: dict[str, Masks] = {}

    def choose(gate: f.TokenGate, x: NDArray[np.float64], earlier: Mapping[str, Masks]) -> Masks:
        chosen[gate.name] = _chosen(gate, x, chosen)
        return np.broadcast_to(chosen[gate.name][:, None], (x.shape[0], x.shape[1], chosen[gate.name].shape[-1]))

    evaluate(graph, calibration, gated=True, mask_source=choose)
    return chosen


def _chosen(gate: f.TokenGate, x: NDArray[np.float64], earlier: Mapping[str, Masks]) -> Masks:
    """Mask [T, N] of the tokens with the best mean score over the samples of x [T, B, C, …]."""
    if gate.selector is not None:
        mean = selector_scores(as_tokens(x), gate.selector).mean(axis=0)
        return selected(mean, gate.selector, earlier.get(gate.selector.within), x.shape[0])
    if gate.criterion is None:
        return np.ones((x.shape[0], gate.grid[0] * gate.grid[1]), np.bool_)
    scores = sample_scores(as_map(x, gate), gate.criterion, gate.block)
    mean = np.cumsum(scores, axis=1)[:, -1] / scores.shape[1]
    return keep_top(mean, tokens_kept(gate.retention, *gate.grid, gate.criterion.rule))


def kept_tokens(gate: i.TokenGate | i.LiveMask) -> int:
    """How many tokens a block keeps per step."""
    return tokens_kept(gate.retention, *gate.grid, gate.criterion.rule if gate.criterion else "irtop-paper")


def _prunes(gate: i.TokenGate) -> bool:
    return kept_tokens(gate) < gate.grid[0] * gate.grid[1]
