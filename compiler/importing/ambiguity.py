"""What a NIR file leaves open, said once, at the first node that it concerns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx
import nir
import numpy as np

from pumice.compiler.importing.cycles import loops, wiring
from pumice.compiler.importing.nested import FlatGraph, flatten
from pumice.compiler.importing.neurons import NEURONS
from pumice.compiler.importing.readings import Reading
from pumice.compiler.importing.said import SAID

QUIET = (nir.I, nir.LI, nir.CubaLI)  # neurons that never fire


def open_question(graph: nir.NIRGraph, reading: Reading, named: bool = False) -> str:
    """One sentence about the first node, inputs first, whose meaning is not told: the choices, the difference they make, and what
    `reading` assumes. named: the reading is the user's word, so that only what its framework leaves undecided is open. "" where
    nothing is."""
    if named and not reading.undecided:
        return ""
    flat = flatten(graph)
    for name in _dataflow_order(flat):
        node, entry = flat.nodes[name], flat.entries[name]
        said = entry.attributes if entry else {}
        if isinstance(node, NEURONS) and not (entry and entry.op) and (missing := _missing(node, said, reading, named)):
            kind = type(node).__name__
            who = f"{reading.name} exports all alike, so the file" if named else "the file"
            return f"node {name!r}: {who} does not say the {_listed(missing)} of this {kind}; {_choices(node, missing, reading)}"
    if named:
        return ""
    cycle = next(iter(loops(flat.sources)), None)
    if cycle is not None and not any(isinstance(flat.nodes[n], nir.Delay) for n in cycle):
        return (
            f"node {min(cycle)!r}: lies on a cycle, and the file does not say what crosses it at first: nothing (norse), "
            f"or the bias of its layer (snntorch, lava-dl); assumed {reading.recurrence}"
        )
    return ""


def _missing(node: Any, said: Mapping[str, Any], reading: Reading, named: bool) -> list[str]:
    wanted = ("dt",) if isinstance(node, QUIET) else SAID
    return [key for key in wanted if key not in said and (not named or key in reading.undecided)]


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _choices(node: Any, missing: list[str], reading: Reading) -> str:
    """Each choice with its difference, in numbers where the node has them."""
    found = []
    if "dt" in missing:
        found.append(_step_choice(node, reading))
    if "reset" in missing:
        threshold = _typical(node.v_threshold)
        kept = "v_reset" if reading.reset == "zero" else f"v - {threshold:g}"
        found.append(
            f"reset: after a spike v is v_reset = {_typical(node.v_reset):g} (norse, lava-dl) or v - {threshold:g} "
            f"(sinabs, rockpool), and snntorch and spikingjelly have both; assumed {kept}"
        )
    if "comparator" in missing:
        found.append(
            f"comparator: at v = {_typical(node.v_threshold):g} exactly it fires (>=: spikingjelly, sinabs, lava-dl) "
            f"or not (>: norse, snntorch); assumed {reading.comparator}"
        )
    return "; ".join(found)


def _step_choice(node: Any, reading: Reading) -> str:
    if isinstance(node, nir.I | nir.IF):
        r = _typical(node.r)
        assumed = f"{reading.dt * r:g} x" if reading.if_gain == "ode" else "x"
        return (
            f"dt: a step adds x (norse, sinabs) or dt·r·x, at 1e-4 s {1e-4 * r:g} x (spikingjelly); assumed {assumed}"
        )
    tau = _typical(node.tau if hasattr(node, "tau") else node.tau_mem)
    leaks = ", ".join(f"{min(1.0, dt / tau):.3g} at {dt:g} s ({who})" for dt, who in _TIMESTEPS) if tau > 0 else ""
    return f"dt: of v a step leaks {leaks}; assumed {reading.dt:g} s"


_TIMESTEPS = ((1e-4, "snntorch, spikingjelly"), (1e-3, "norse's default"))


def _typical(values: Any) -> float:
    return float(np.median(np.asarray(values, np.float64)))


def _dataflow_order(flat: FlatGraph) -> list[str]:
    """Inputs first, by distance from them."""
    graph = wiring(flat.sources)
    graph.add_edges_from(("", name) for name in flat.named(nir.Input))
    far = dict(nx.single_source_shortest_path_length(graph, "")) if "" in graph else {}
    return sorted(flat.nodes, key=lambda name: (far.get(name, len(flat.nodes)), name))
