"""SANA-FE, an independent simulator of mapped networks, against our reference and our counts: the same spikes, synaptic
operations, messages, hops and energy. SANA-FE runs in a process of its own (`sanafe_runs.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from convert_networks import Net, tied
from numpy.typing import NDArray
from sanafe_networks import conv_and_pool, dense_layers, packed, pruned, scattered, spread, tokens
from sanafe_runs import run_folders

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import origin
from pumice.compiler.mapping.traffic import reached_neurons
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.program import Program
from pumice.compiler.walk import walk
from pumice.hwsim.counters import CountRow, CountTable
from pumice.hwsim.energy import EnergyProfile, energy_per_sample, load_profile
from pumice.runtime.reference import Reference, input_frames
from pumice.runtime.sanafe.files import PROFILE, write_sanafe
from pumice.runtime.sanafe.plan import Plan, Population
from pumice.runtime.sanafe.synapses import edges_of

Ints = NDArray[np.int64]
NETS = {
    "dense": (dense_layers, 0),
    "conv": (conv_and_pool, 1),
    "pruned": (pruned, 0),
    "tokens": (tokens, 2),
    "ties": (lambda: scattered(spread(tied(), 4), 4), 0),
    "packed dense": (lambda: packed(dense_layers(5)), 1),
    "packed conv": (lambda: packed(conv_and_pool(6)), 1),
}
CLOSE = {"rel": 1e-9, "abs": 0.0}  # of sums of float64 in another order; counts are equal

pytestmark = pytest.mark.skipif(
    find_spec("sanafe") is None, reason="SANA-FE is not installed: pip install sanafe==2.2.9"
)


@dataclass(frozen=True, eq=False)
class Case:
    """One sample of a network, as both ran it. found: see `sanafe_runs`."""

    net: Net
    sample: int
    plan: Plan
    found: Mapping[str, Any]

    @property
    def depth(self) -> dict[str, int]:
        """Per population, the inputs among them, the step at which its sample begins."""
        hosts = dict.fromkeys(self.plan.hosts.values(), 0)
        return hosts | {p.name: p.depth for p in self.plan.populations.values()}

    @property
    def steps(self) -> int:
        return self.plan.program.graph.timesteps

    def at(self, step: int, population: str) -> int:
        """The timestep of the sample that a population computes at a step."""
        t = int(step) - self.depth[population]
        assert 0 <= t < self.steps  # nothing fires before its sample or after it
        return t


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("sanafe")
    nets = {name: (make(), sample) for name, (make, sample) in NETS.items()}
    plans = {name: write_sanafe(net.program, folder / name, net.samples, k) for name, (net, k) in nets.items()}
    found = run_folders([folder / name for name in nets])
    return {name: Case(*nets[name], plans[name], one) for name, one in zip(nets, found, strict=True)}


@pytest.fixture(params=NETS)
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


def values(case: Case) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Every node's values of the sample, [T, …], and its active neurons."""
    graph = case.plan.program.graph
    one = case.net.samples[case.sample : case.sample + 1]
    sent, active = walk(graph, input_frames(graph, one), None)
    return {name: value[:, 0] for name, value in sent.items()}, active


def one_sample(case: Case) -> CountTable:
    counts = Reference().run(case.plan.program, case.net.samples[case.sample : case.sample + 1]).counts
    assert counts is not None
    return counts


def counted(case: Case) -> tuple[CountRow, ...]:
    return one_sample(case).rows


def test_every_neuron_fires_in_the_same_steps(case: Case) -> None:
    sent, _ = values(case)
    wanted = {p.name: sent[node].reshape(case.steps, -1) for node, p in case.plan.populations.items()}
    for population in case.plan.populations.values():
        fired = np.zeros((case.steps, population.neurons), np.int64)
        for step, name, neuron in case.found["fired"]:
            if name == population.name:
                fired[case.at(step, name), int(neuron)] += 1
        if isinstance(population.group.neurons, i.Readout):
            assert not fired.any()
        else:
            assert np.array_equal(fired, wanted[population.name])
            assert fired.any()


def test_the_watched_potentials_are_the_outputs(case: Case) -> None:
    one = case.net.samples[case.sample : case.sample + 1]
    outputs = Reference(counts=False).run(case.plan.program, one).outputs
    assert case.found["potentials"] == outputs[0].tolist()


def test_messages_synaptic_operations_and_hops_of_every_core_and_step(case: Case) -> None:
    program = case.plan.program
    at = {(s.x, s.y, s.core): core for core, s in enumerate(program.mapping.sites)}
    found = np.zeros((4, len(at), case.steps), np.int64)
    for step, source, to, synapses, ew, ns in case.found["messages"]:
        found[:, at[tuple(to)], case.at(step, source)] += (1, synapses, ew, ns)
    wanted = np.zeros_like(found)
    for row in counted(case):
        wanted[:, row.core] += np.stack([row.messages, row.synops + row.macs, row.hops_ew, row.hops_ns]).astype(
            np.int64
        )
    assert np.array_equal(found, wanted)
    assert (wanted[:2].sum(axis=(1, 2)) > 0).all()
    assert wanted[2:].any()


def received(population: Population, case: Case, sent: Mapping[str, Ints]) -> Ints:
    """Spikes that each neuron receives, [T, neurons]."""
    found = np.zeros((case.steps, population.neurons), np.int64)
    for edges in edges_of(population.group, case.plan.program.graph):
        for t, spikes in enumerate(sent[edges.source.name].reshape(case.steps, -1)):
            np.add.at(found[t], edges.targets, spikes[edges.sources])
    return found


def updated(population: Population, node: str, case: Case) -> tuple[Ints, Ints]:
    """Neurons that SANA-FE updates, [T, neurons], and those of them that we call active. We call one idle whose inputs cancel to
    0 while it has no bias and an empty membrane, and a read-out neuron whose total becomes 0."""
    sent, active = values(case)
    if node in active:
        ours = active[node].reshape(case.steps, -1) > 0
        busy = ours
    else:
        ours = sent[node].reshape(case.steps, -1) != 0
        busy = np.vstack([ours[:1] & False, ours[:-1]]) if isinstance(population.group.neurons, i.Readout) else ours
    return busy | ours | (received(population, case, sent) > 0), ours


def updates_of(part_neurons: int, energies: list[float], fired: Ints, profile: EnergyProfile) -> Ints:
    """Updates of a unit in each step, from its energy in joules."""
    idle, active, spike = (float(getattr(profile, term)) for term in ("neuron_idle", "neuron_active", "spike"))
    number = (np.array(energies) * 1e12 - idle * part_neurons - spike * fired) / (active - idle)
    assert np.abs(number - np.rint(number)).max() < 0.01
    return np.rint(number).astype(np.int64)


def test_neurons_update_in_the_same_steps(case: Case) -> None:
    profile, (sent, _), rows = load_profile(PROFILE), values(case), counted(case)
    for node, population in case.plan.populations.items():
        theirs, ours = updated(population, node, case)
        window = slice(population.depth, population.depth + case.steps)
        spikes = sent[node].reshape(case.steps, -1) * (not isinstance(population.group.neurons, i.Readout))
        for part in population.parts:
            energies = case.found["soma_j"][f"soma_{part.unit}"][window]
            found = updates_of(len(part.members), energies, spikes[:, part.members].sum(axis=1), profile)
            assert np.array_equal(found, theirs[:, part.members].sum(axis=1))
        of_layer = sum(row.active for row in rows if row.layer == node)
        assert np.array_equal(ours.sum(axis=1), of_layer)


def test_totals_are_equal(case: Case) -> None:
    rows, found = counted(case), case.found
    assert found["timesteps_executed"] == case.plan.steps
    assert found["packets_sent"] == sum(row.messages.sum() for row in rows)
    assert found["spikes"] == sum((row.synops + row.macs).sum() for row in rows)
    assert found["hops"] == sum((row.hops_ew + row.hops_ns).sum() for row in rows)
    assert found["neurons_fired"] - of_input(case) == sum(row.spikes.sum() for row in rows)


def test_energy_is_the_closed_form_of_our_counts(case: Case) -> None:
    profile, rows, energy = load_profile(PROFILE), counted(case), case.found["energy"]
    price = {term: float(getattr(profile, term) or 0) * 1e-12 for term in profile.sources}
    network = sum(
        price["message"] * row.messages.sum()
        + price["hop_ew"] * row.hops_ew.sum()
        + price["hop_ns"] * row.hops_ns.sum()
        for row in rows
    )
    assert energy["network"] == pytest.approx(network, **CLOSE)
    synapses = sum(
        price["mac"] * row.macs.sum() + price[f"synop_{row.synapse_kind}"] * row.synops.sum() for row in rows
    )
    assert energy["synapse"] == pytest.approx(synapses, **CLOSE)
    neurons = sum(p.neurons for p in case.plan.populations.values())
    waiting = price["neuron_idle"] * neurons * (case.plan.steps - case.steps)
    more = (price["neuron_active"] - price["neuron_idle"]) * updates_we_leave_out(case)
    ours = energy_per_sample(one_sample(case), profile)
    assert ours.nj is not None
    assert energy["total"] == pytest.approx(ours.nj * 1e-9 + waiting + more, **CLOSE)


def of_input(case: Case) -> int:
    """Spikes that the host sends, once to each tile."""
    return sum(name in case.plan.hosts.values() for _, name, _ in case.found["fired"])


def updates_we_leave_out(case: Case) -> int:
    """SANA-FE's updates without ours: those of `updated`, and those by biases in steps when no sample has come to a layer."""
    ours = sum(int(updated(p, node, case)[1].sum()) for node, p in case.plan.populations.items())
    return int(case.found["neurons_updated"]) - of_input(case) - ours


def shared_neurons(program: Program) -> Iterator[int]:
    """Of each core, how many of the neurons that reach it are read by several of its slices."""
    network = network_of(program.graph, program.chip)
    for core in program.mapping.cores:
        read: dict[tuple[str, int], int] = {}
        for part in core:
            held = program.mapping.channels_of(part), program.mapping.positions_of(part)
            for fan in network.wiring.fans(network.groups[part.group], *held):
                for neuron in reached_neurons(fan).tolist():
                    key = (origin(fan.stream, program.graph).name, neuron)
                    read[key] = read.get(key, 0) + 1
        yield sum(slices > 1 for slices in read.values())


def test_the_networks_are_what_they_are_meant_to_be(cases: dict[str, Case]) -> None:
    for case in cases.values():
        sites = case.plan.program.mapping.sites
        assert len({(s.x, s.y) for s in sites}) > 1
    lif = [p.group.neurons for c in cases.values() for p in c.plan.populations.values()]
    assert {(n.reset, n.inclusive) for n in lif if isinstance(n, i.IntLif)} >= {
        ("hard", False),
        ("soft", False),
        ("hard", True),
    }
    assert all(any(len(p.parts) > 1 for p in cases[n].plan.populations.values()) for n in NETS if n != "ties")
    assert any(layer.soma.late for case in cases.values() for layer in case.plan.populations.values())
    assert all(any(shared_neurons(cases[n].plan.program)) for n in ("packed dense", "packed conv"))
