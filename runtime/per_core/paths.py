"""The way of a stream: who sends it, what happens to it on the way, and when it arrives.

Cores work in steps: in each, a core sends what it computed in the step before, receives, and computes. So frame t of a layer at
lag L leaves its core in step L + t, and whatever reads it has a lag of at least L + 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import groups_of, mask_input
from pumice.compiler.ir import Graph
from pumice.errors import UnsupportedNode


@dataclass(frozen=True)
class Origin:
    """Who sends what a stream holds; and by how many timesteps, least and most, the user's delays hold it back."""

    sender: str
    least: int = 0
    most: int = 0


def origins(name: str, graph: Graph) -> Iterator[Origin]:
    """Whose values a stream needs: those of neurons, the input, masks that are no constants."""
    node = graph.nodes[name]
    match node:
        case i.Past() | i.Feedback():
            before = node.of if isinstance(node, i.Feedback) else node.inputs[0]
            for origin in origins(before, graph):
                least, most = int(node.steps.min()), int(node.steps.max())
                yield Origin(origin.sender, origin.least + least, origin.most + most)
        case i.TokenGate() | i.Delay() | i.Reshape():
            for before in node.inputs:
                yield from origins(before, graph)
        case i.StaticMask():
            return
        case _:
            yield Origin(name)


def needs_of(graph: Graph) -> dict[str, list[Origin]]:
    """For each layer of neurons, and each scorer, what it reads."""
    found: dict[str, list[Origin]] = {}
    for group in groups_of(graph):
        mask = mask_input(group.neurons)
        streams = [
            *(name for node in group.synapses for name in node.inputs),
            *group.streams,
            *([mask] if mask else []),
        ]
        found[group.name] = [origin for name in streams for origin in origins(name, graph)]
    for node in graph.nodes.values():
        if isinstance(node, i.LiveMask):
            found[node.name] = list(origins(node.inputs[0], graph))
    return found


def lags(graph: Graph) -> dict[str, int]:
    """The step in which each sender's first frame leaves it: 0 for the input and given masks. Where neurons add up a stream, it
    takes a step to reach them, as on any axon. Raises UnsupportedNode for a cycle that its own delay cannot hide."""
    needs = needs_of(graph)
    at = dict.fromkeys(graph.nodes, 0) | dict.fromkeys(needs, 1)
    for _ in range(len(needs) + 1):
        late = {
            name: lag
            for name, found in needs.items()
            if (lag := max((1 + at[origin.sender] - origin.least for origin in found), default=1)) > at[name]
        }
        if not late:
            return at
        at |= late
    node = graph.nodes[next(iter(late))]
    raise UnsupportedNode(
        f"node {node.source!r}: a cycle through it has fewer timesteps of delay than its spikes need from core to core",
        "run it without --per-core",
    )


def kept_frames(graph: Graph, at: Mapping[str, int], reader: str, found: list[Origin]) -> dict[str, int]:
    """Per sender, how many of its frames a reader must hold, until it has computed with the oldest one."""
    kept: dict[str, int] = {}
    for origin in found:
        frames = at[reader] - at[origin.sender] + origin.most
        kept[origin.sender] = max(kept.get(origin.sender, 0), frames)
    return kept


def held_back(node: i.Past | i.Feedback) -> tuple[str, list[int]]:
    """What a delay of the user's reads, and the different numbers of timesteps of it."""
    before = node.of if isinstance(node, i.Feedback) else node.inputs[0]
    return before, np.unique(node.steps).tolist()
