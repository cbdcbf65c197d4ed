"""One slice of a core: the currents of its neurons from what reaches it, with the weights that it stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group, mask_input
from pumice.compiler.ir import Graph, Node
from pumice.compiler.mapping.fans import Fan
from pumice.compiler.walk_neurons import State, begin, run_memoryless, run_stateful
from pumice.hwsim import arith
from pumice.runtime.per_core.windows import summed_taps, tapped

Ints = NDArray[np.int64]
Streams = Callable[[str], Ints]  # a stream's frame [B, …], by name


@dataclass(frozen=True, eq=False)
class Part:
    """A slice ready to run. node: the neurons of the slice alone. weights: per synapse node, those into its channels.
    ranges: per synapse node, the largest payload that reaches it."""

    group: Group
    node: Node
    channels: Ints
    positions: Ints
    fans: tuple[Fan, ...]
    weights: tuple[Ints | None, ...]
    ranges: tuple[int, ...]

    def compute(self, streams: Streams, state: State | None) -> tuple[Ints, State | None]:
        """What the neurons send [B, C, P] in a frame, and their state after it. state: before it, None before a sample's first
        one."""
        remaining = iter(self.fans)
        synapses = zip(self.group.synapses, self.weights, self.ranges, strict=True)
        current = sum(self._current(*synapse, remaining, streams) for synapse in synapses)
        added = [self._identity(fan, delivered(fan, streams)) for fan in remaining]
        return self._neurons(np.asarray(current), added, streams, state)

    def _neurons(
        self, current: Ints, added: list[Ints], streams: Streams, state: State | None
    ) -> tuple[Ints, State | None]:
        mask = mask_input(self.group.neurons)
        gates = [streams(mask)[None][..., self.positions]] if mask else []
        match self.node:
            case i.IntLif() | i.Programmable():
                before = begin(self.node, current) if state is None else state
                sent, _, after = run_stateful(self.node, [current[None], *gates], before, counts=False)
                return sent[0], after
            case i.Levels() | i.Membrane():
                return run_memoryless(self.node, [current[None], *(x[None] for x in added), *gates])[0], None
            case i.Readout():
                total = state[0] if state else np.broadcast_to(self.node.offset[:, None], current.shape)
                total = arith.accumulate(total, current)
                return total, (total, total)
            case _:
                return current, None

    def _current(self, node: Node, weight: Ints | None, most: int, fans: Iterator[Fan], streams: Streams) -> Ints:
        """What one synapse node gives the neurons of the slice, [B, C, P]; its fans are the next ones."""
        match node:
            case i.Synapse():
                assert weight is not None
                fan = next(fans)
                return self._weighted(node, weight, most, fan, delivered(fan, streams))
            case i.OrPool():
                return self._largest(next(fans), streams, 0)
            case i.MaxPool():
                return self._largest(next(fans), streams, int(np.iinfo(np.int64).min))
            case i.SpikeMatmul():
                return self._product(node, next(fans), next(fans), streams)
            case i.SpikeAnd():
                return self._and(node, next(fans), next(fans), streams)
        found = [self._identity(fan, delivered(fan, streams)) for fan in (next(fans) for _ in node.inputs)]
        total = np.asarray(sum(found[1:], found[0]))
        return arith.shifted(total, -node.shift) if isinstance(node, i.TokenSum) else total

    def _largest(self, fan: Fan, streams: Streams, outside: int) -> Ints:
        """The largest payload of each window."""
        taps = tapped(delivered(fan, streams)[:, self.channels], fan, self._places, outside)
        return np.asarray(taps.max(axis=2))

    @property
    def _places(self) -> int:
        return len(self.positions)

    def _identity(self, fan: Fan, x: Ints) -> Ints:
        """Each neuron's own payload, or the sum of its channel's."""
        return summed_taps(x[:, self.channels], fan, self._places)[:, :, 0]

    def _weighted(self, node: i.Synapse, weight: Ints, most: int, fan: Fan, x: Ints) -> Ints:
        taps = summed_taps(x, fan, self._places)  # [B, C, K, P]
        outputs, inputs = node.weight.shape[0] // node.groups, node.weight.shape[1]
        out = np.zeros((len(x), len(self.channels), self._places), np.int64)
        bound = max(1, int(np.abs(weight).reshape(len(weight), -1).sum(axis=1).max(initial=0))) * max(1, most)
        for g in np.unique(self.channels // outputs):
            held = self.channels // outputs == g
            columns = taps[:, g * inputs : (g + 1) * inputs].reshape(len(x), -1, self._places)
            out[:, held] = arith.exact_matmul(weight[held].reshape(int(held.sum()), -1), columns, bound)
        return out

    def _product(self, node: i.SpikeMatmul, a: Fan, b: Fan, streams: Streams) -> Ints:
        """Rows and columns of the products of each head that the slice has some of."""
        left, right = arith.head_operands(node.pattern, placed(a, streams), placed(b, streams), node.heads)
        head, row = np.divmod(self.channels, left.shape[2])
        out = np.zeros((len(left), len(self.channels), self._places), np.int64)
        for h in np.unique(head):
            held = head == h
            columns = right[:, h][..., self.positions]
            out[:, held] = arith.exact_matmul(left[:, h][:, row[held]], columns, max(node.out.high, 1)) << node.shift
        return out

    def _and(self, node: i.SpikeAnd, gate: Fan, x: Fan, streams: Streams) -> Ints:
        gates, share = delivered(gate, streams), node.out.shape[0] // len(gate.per_channel)
        return arith.spike_and(gates[:, self.channels // share], self._identity(x, delivered(x, streams)))


def delivered(fan: Fan, streams: Streams) -> Ints:
    """What a fan brings to its slice, [B, C, P']: of each of its source positions the neurons that have a synapse into it."""
    frame = streams(fan.stream)
    x = frame.reshape(len(frame), -1, fan.width)[:, :, fan.sources]
    return np.where(fan.reached, x, 0)


def placed(fan: Fan, streams: Streams) -> Ints:
    """The same at its place in the whole stream, [B, C, P]."""
    x = delivered(fan, streams)
    out = np.zeros((*x.shape[:2], fan.width), np.int64)
    out[:, :, fan.sources] = x
    return out


def part_of(group: Group, fans: list[Fan], channels: Ints, positions: Ints, graph: Graph) -> Part:
    """A slice of a group, its channels and positions ascending."""
    held = [node.weight[channels] if isinstance(node, i.Synapse) else None for node in group.synapses]
    outs = [graph.nodes[node.inputs[0]].out for node in group.synapses]
    ranges = tuple(max(abs(out.low), out.high) for out in outs)
    node = restricted(group.neurons, channels, positions)
    return Part(group, node, channels, positions, tuple(fans), tuple(held), ranges)


def restricted(node: Node, channels: Ints, positions: Ints) -> Node:
    """The neurons of a slice as a layer of their own, [C, P]."""
    out = replace(node.out, shape=(len(channels), len(positions)))
    match node:
        case i.IntLif() | i.Levels():
            return replace(node, out=out, bias_mant=node.bias_mant[channels])
        case i.Membrane():
            return replace(node, out=out, bias_values=node.bias_values[channels])
        case i.Programmable():
            own: dict[str, Any] = {f.name: getattr(node.params, f.name) for f in fields(node.params)}
            held: dict[str, Any] = {
                k: _held(x, node, channels, positions) for k, x in own.items() if isinstance(x, np.ndarray)
            }
            return replace(node, out=out, params=replace(node.params, **held))
        case i.Readout():
            return replace(node, out=out, offset=np.broadcast_to(node.offset, node.out.shape[:1])[channels])
        case _:
            return node


def _held(values: NDArray[Any], node: Node, channels: Ints, positions: Ints) -> NDArray[Any]:
    rows = np.broadcast_to(values, node.out.shape).reshape(node.out.shape[0], -1)
    return np.asarray(rows[channels[:, None], positions])
