"""`--to netx`: lava-dl itself runs the file, and every output spike is that of `reference`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from convert_networks import (
    Net,
    compiled,
    conv,
    dense,
    exported,
    frames,
    lif,
    mixed,
    one_neuron,
    pooled,
    real_maps,
    residual,
    spikes,
    stack,
    tied,
    tokens,
)
from networks import TinySpikformer, images, tiny_spikformer
from netx_runs import run_files
from numpy.typing import NDArray
from small_graphs import chain

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import read_artifact, write_artifact
from pumice.compiler.exporting.netx import netx_bytes, netx_file
from pumice.compiler.exporting.netx_weights import dense_problem
from pumice.compiler.exporting.whole_biases import whole_biases
from pumice.compiler.importing.readings import reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import UnsupportedNode
from pumice.hwsim.spec import load_chip
from pumice.runtime.reference import Reference


def rounded(net: Net) -> Net:
    return replace(net, program=whole_biases(net.program))


def cuba(steps: int = 9, **changes: Any) -> Net:
    """Two layers whose currents keep a half and a quarter of what they were. Weights are whole on the chip's grid, and so are the
    thresholds; nothing has a bias, for Lava's goes to the membrane."""
    rng = np.random.default_rng(5)

    def layer(out: int, before: int) -> nir.Linear:
        weight = rng.choice((-127.0, 0.0, 63.0, 64.0, 127.0), (out, before), p=(0.1, 0.2, 0.2, 0.2, 0.3))
        weight[0, 0] = 127.0
        return nir.Linear(weight)

    def neurons(size: int, tau_syn: float) -> nir.CubaLIF:
        values = {"tau_syn": tau_syn, "tau_mem": 4e-4, "r": 4.0, "v_leak": 0.0, "v_threshold": 254.0, "v_reset": 0.0}
        values |= {"w_in": tau_syn / 1e-4} | changes
        return nir.CubaLIF(**{name: np.full(size, value) for name, value in values.items()})

    graph = chain((6,), (5,), a=layer(7, 6), n=neurons(7, 2e-4), b=layer(5, 7), m=neurons(5, 4e-4 / 3))
    return compiled(graph, spikes((12, steps, 6), 9), reading("nir"))


RNG = np.random.default_rng(11)
QUICK: Mapping[str, Callable[[], Net]] = {
    "random-0": lambda: rounded(mixed(0)),
    "pools": lambda: rounded(pooled()),
    "real-maps": lambda: rounded(real_maps()),
    "ties-reached": lambda: tied(),
    "currents-that-leak": lambda: cuba(),
}
MORE: Mapping[str, Callable[[], Net]] = {
    **{f"random-{seed}": lambda seed=seed: rounded(mixed(seed)) for seed in (2, 3, 4, 5, 6, 8, 14)},  # type: ignore[misc]
    "dense": lambda: rounded(stack(1, (9, 8, 6), spikes((8, 5, 9), 1))),
    "tokens": lambda: rounded(tokens()),
    "repeated-reals": lambda: rounded(stack(2, (9, 6), RNG.normal(0, 1, (8, 9)), encoding="repeat")),
    "currents-beyond-16-bits": lambda: rounded(stack(4, (9, 5), 200 * RNG.random((8, 5, 9)))),
    "ties-passed": lambda: tied(comparator=">"),
    "of snntorch": lambda: rounded(exported("snntorch_conv_shaped_zero", "snntorch")),
    "of spikingjelly": lambda: rounded(exported("spikingjelly_conv_hard_nodecay", "spikingjelly")),
    "one-step": lambda: rounded(stack(3, (9, 6), spikes((8, 1, 9), 3))),
}


@cache
def net(case: str) -> Net:
    return {**QUICK, **MORE}[case]()


def on_lava(cases: Mapping[str, Any], folder: Path) -> dict[str, NDArray[Any]]:
    """Each case's output spikes, all from one process, for importing lava-dl takes longer than running it."""
    pytest.importorskip("lava.lib.dl.netx", reason="needs pumice[lava] on Python 3.10")
    files = {name: (netx_bytes(netx_file(net(name).program)), frames(net(name))) for name in cases}
    return run_files(files, folder, timeout_s=120)


def assert_reference_s(found: Mapping[str, NDArray[Any]]) -> None:
    """Output spikes [B, T, …] of the last layer, several samples one after the other, equal those of the reference."""
    for case, spikes_on_lava in found.items():
        recorded = Reference(counts=False).run(net(case).program, net(case).samples, record=True).spikes
        wanted = np.moveaxis(recorded[list(recorded)[-1]], 0, 1)
        assert len(wanted) == 3
        assert np.ptp(wanted, axis=0).any(), f"{case}: every sample gives the same"
        assert wanted.shape[1] == 1 or np.ptp(wanted, axis=1).any(), f"{case}: every step gives the same"
        assert np.array_equal(spikes_on_lava.reshape(wanted.shape), wanted), case


def test_every_output_spike_on_lava_dl_is_the_reference_s(tmp_path: Path) -> None:
    assert_reference_s(on_lava(QUICK, tmp_path))


@pytest.mark.slow
def test_every_output_spike_of_more_networks_too(tmp_path: Path) -> None:
    assert_reference_s(on_lava(MORE, tmp_path))


def test_currents_of_the_wide_case_need_more_than_16_bits() -> None:
    program = MORE["currents-beyond-16-bits"]().program
    assert max(n.out.high for n in program.graph.nodes.values() if isinstance(n, i.Synapse)) > 1 << 15


def test_a_pool_is_gone_and_its_layer_wider() -> None:
    datasets = netx_file(net("pools").program).datasets
    kinds = [bytes(datasets[f"layer/{k}/type"][0]).decode() for k in range(5)]
    assert kinds == ["input", "conv", "conv", "flatten", "dense"]
    assert datasets["layer/2/weight"].shape == (4, 3, 4, 4)
    assert datasets["layer/4/weight"].shape == (5, 100)


def test_ties_that_fire_are_a_threshold_one_lower() -> None:
    assert [note.split(":")[0] for note in netx_file(net("ties-reached").program).notes] == ["n", "m"]
    assert not netx_file(net("ties-passed").program).notes


def test_what_lava_dl_does_to_a_matrix_is_known() -> None:
    """Its own functions, one after the other, keep exactly those matrices that are let through."""
    pytest.importorskip("lava.lib.dl.netx", reason="needs pumice[lava] on Python 3.10")
    from lava.lib.dl.netx.utils import optimize_weight_bits
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    rng, kept = np.random.default_rng(0), []
    for trial in range(2000):
        high = 0 if trial % 3 == 0 else int(rng.integers(-256, 256))
        low = -(2 ** int(rng.integers(0, 9))) if trial % 5 == 0 else int(rng.integers(-256, high + 1))
        weight = rng.integers(low, max(low, high) + 1, (2, 3)) // 2 * 2
        try:
            with np.errstate(divide="ignore"):
                scaled, bits, exponent, _ = optimize_weight_bits(weight.copy())
            sign = determine_sign_mode(scaled)
            read = truncate_weights(clip_weights(scaled, sign, 8), sign, bits)
            same = exponent <= 0 and np.array_equal(read, weight << -exponent)
        except (OverflowError, ValueError):
            same = False
        kept.append(same)
        assert same == (dense_problem(weight) == ""), weight
    assert 0 < np.mean(kept) < 1


def reset(kind: str) -> Program:
    return compiled(
        chain((4,), (3,), d=dense(RNG, 3, 4), n=lif((3,), 1.0)), spikes((8, 5, 4), 1), reading("nir", reset=kind)
    ).program


def slow_leak() -> Program:
    graph = chain((4,), (3,), d=dense(RNG, 3, 4), n=lif((3,), 1.0, 200.0))
    return compiled(graph, spikes((8, 5, 4), 1), reading("nir", comparator=">=")).program


def lifted() -> Program:
    graph = chain((4,), (3,), d=nir.Linear(RNG.normal(0, 1, (3, 4))), n=lif((3,), 1.0))
    program = compiled(graph, spikes((8, 5, 4), 1), reading("nir", comparator=">=")).program
    ones = replace(program.graph.nodes["n"], bias_mant=np.ones(3, np.int64))  # whatever correction it got
    return replace(program, graph=replace(program.graph, nodes={**program.graph.nodes, "n": ones}))


def overlapping(size: int, stride: int, padding: int) -> Program:
    """A pool before a convolution that pads."""
    windows = nir.SumPool2d(np.array([size, size]), np.array([stride, stride]), np.array([0, 0]))
    side = (7 - size) // stride + 1
    nodes = {"p": windows, "c": conv(RNG, 2, (2, side, side), kernel=(2, 2), padding=(padding, padding))}
    side += 2 * padding - 1
    end = {"m": lif((2, side, side), 1.0)}
    graph = chain((2, 7, 7), (2, side, side), n=lif((2, 7, 7), 0.3), **nodes, **end)
    return whole_biases(compiled(graph, spikes((8, 5, 2, 7, 7), 1)).program)


def transformer() -> Program:
    config = TinySpikformer()
    options = CompileOptions(masks="off")
    return compile_nir(tiny_spikformer(config), images(config, 4), load_chip("loihi2"), options)


@dataclass(frozen=True, eq=False)
class LaterLif(i.IntLif):
    """A LIF of a version to come."""

    refractory: int = 0
    jitter: NDArray[Any] | None = None


def program_of(steps: int = 9, **changes: Any) -> Program:
    """`cuba`, with other parameters in its first layer."""
    program = cuba(steps).program
    node = program.graph.nodes["n"]
    assert isinstance(node, i.Programmable)
    arrays = {
        k: np.full((1, 1), v) if isinstance(getattr(node.params, k), np.ndarray) else v for k, v in changes.items()
    }
    other = replace(node, params=replace(node.params, **arrays))
    return replace(program, graph=replace(program.graph, nodes={**program.graph.nodes, "n": other}))


def delayed() -> Program:
    layers = {"a": dense(RNG, 5, 6), "n": lif((5,), 1.0), "d": nir.Delay(np.full(5, 2e-4)), "b": dense(RNG, 4, 5)}
    graph = chain((6,), (4,), **layers, m=lif((4,), 1.0))
    return whole_biases(compiled(graph, spikes((8, 5, 6), 1)).program)


REFUSED: Mapping[str, tuple[Callable[[], Program], str]] = {
    "fine bias": (
        lambda: mixed(0).program,
        r"node 'n0' \(IntLif 'n0'\): bias -?\d+/64 of channel \d is no whole current",
    ),
    "lifted ties": (lifted, r"'n'.*bias 1/64 of channel 0"),
    "subtraction": (lambda: whole_biases(reset("subtract")), "'n'.*reset 'soft'"),
    "ties with a leak": (lambda: whole_biases(slow_leak()), "'n'.*fires at v >= threshold, and leaks"),
    "ties that saturate": (lambda: whole_biases(tied(steps=300).program), "'n'.*v can saturate"),
    "branch": (lambda: residual().program, r"'p'.*is read by|'sum'.*has 2 inputs"),
    "read-out": (transformer, "node 'time_mean'.*ends in a sum of currents"),
    "overlapping pool": (lambda: overlapping(3, 2, 0), "'c'.*every .2, 2.: only windows that do not overlap"),
    "a rest of a pool": (lambda: overlapping(2, 2, 1), "'c'.*leave a rest of the .7, 7. map"),
    "silent matrix": (lambda: one_neuron((0, 0), 9, 3), "'s'.*all weights are 0"),
    "clipped matrix": (lambda: one_neuron((-128, 0), 9, 3), "'s'.*weight -128 would become -127.5"),
    "new parameter": (
        lambda: one_neuron((2, 4), 9, 3, neuron=LaterLif, refractory=2),
        "'n'.*its refractory cannot be said",
    ),
    "new array": (
        lambda: one_neuron((2, 4), 9, 3, neuron=LaterLif, jitter=np.ones(1)),
        "'n'.*its jitter cannot be said",
    ),
    "a current's bias": (lambda: program_of(current_bias=64), "'n'.*its current has a bias"),
    "a current that could wrap": (lambda: program_of(du=1, steps=300), "'n'.*its current can saturate"),
    "a fine threshold": (lambda: program_of(threshold=65), "'n'.*threshold 65/64 is no whole current"),
    "a current that leaks, and ties": (lambda: program_of(inclusive=True), "'n'.*fires at v >= threshold, and leaks"),
    "a reset elsewhere": (lambda: program_of(v_reset=64), "'n'.*resets to another value than 0"),
    "several spikes": (lambda: program_of(most=2), "'n'.*sends no single spikes"),
    "a delay": (delayed, r"'d'.*is a delay"),
    "a threshold each": (lambda: one_neuron((2, 4), np.array([[9]]), 3), "'n'.*vth differs between"),  # type: ignore[arg-type]
    "lists by sign": (
        lambda: whole_biases(stack(1, (9, 8, 6), spikes((8, 7, 9), 1), signs="split").program),
        "'d0'.*sums of several lists of synapses",
    ),
    "gate": (lambda: one_neuron((2, 4), 9, 3, gate_state="hold"), "'n'.*mask"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_netx_cannot_say_is_refused_by_name(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(UnsupportedNode, match=message):
        netx_file(make())


def test_a_new_parameter_that_is_not_used_is_no_hindrance() -> None:
    plain, later = (netx_file(one_neuron((2, 4), 9, 3, neuron=kind)) for kind in (i.IntLif, LaterLif))
    assert netx_bytes(plain) == netx_bytes(later)


def test_more_groups_than_lava_counts_are_written_out() -> None:
    one = np.ones((130, 2, 2))
    graph = chain((130, 2, 2), (130, 2, 2), n=lif((130, 2, 2), 0.7))
    program = whole_biases(compiled(graph, spikes((5, 2, *one.shape), 1)).program)
    (synapse,) = (n for n in program.graph.nodes.values() if isinstance(n, i.Synapse))
    datasets = netx_file(program).datasets
    assert (synapse.groups, int(datasets["layer/1/groups"])) == (130, 1)
    assert np.array_equal(datasets["layer/1/weight"][:, :, 0, 0], np.diag(synapse.weight[:, 0, 0, 0]))


def test_whole_biases_change_nothing_else_and_are_a_legal_program(tmp_path: Path) -> None:
    program = mixed(0).program
    whole = whole_biases(program)
    for name, node in program.graph.nodes.items():
        other = whole.graph.nodes[name]
        if isinstance(node, i.IntLif):
            assert isinstance(other, i.IntLif)
            assert np.abs(node.bias - other.bias).max() <= 32
            assert not np.any(other.bias % 64)
        else:
            assert other is node
    assert whole_biases(whole).graph.nodes == whole.graph.nodes
    write_artifact(whole, tmp_path / "whole.pumice")
    assert netx_bytes(netx_file(read_artifact(tmp_path / "whole.pumice"))) == netx_bytes(netx_file(whole))
