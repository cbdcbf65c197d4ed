"""The readings "snntorch" and "spikingjelly" beside the installed packages themselves, neuron by neuron."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_graphs import chain, cuba, fire, lif, ran, random_input, wired

DT = 1e-4
BETA, ALPHA = 0.75, 0.5  # exact in binary, so that snnTorch's float32 has nothing to round
X = np.round(2 * random_input(40, 3, 6)) / 8


def tau(keep: float) -> NDArray[Any]:
    return np.full(6, DT / (1 - keep))


def stepped(neuron: Any, x: NDArray[Any]) -> NDArray[Any]:
    """The spikes of a torch neuron that keeps its own state, called once a step."""
    with torch.no_grad():
        return np.stack([neuron(torch.tensor(frame, dtype=torch.float32)).numpy() for frame in x])


RESETS = [
    ("zero", True, {"reset": "zero"}),
    ("zero", False, {"reset": "zero"}),
    ("subtract", True, {"reset": "subtract", "reset_at": "next"}),
    ("subtract", False, {"reset": "subtract"}),
]


@pytest.mark.parametrize(("mechanism", "late", "options"), RESETS)
def test_snntorch_leaky(mechanism: str, late: bool, options: dict[str, str]) -> None:
    snn = pytest.importorskip("snntorch")
    wanted = stepped(snn.Leaky(BETA, threshold=0.5, init_hidden=True, reset_mechanism=mechanism, reset_delay=late), X)
    node = lif((6,), tau=tau(BETA), r=tau(BETA) / DT, v_threshold=np.full(6, 0.5))
    made = ran(chain((6,), (6,), n=node), X, "snntorch", **options)["n"]
    assert 0.05 < wanted.mean() < 0.95
    assert np.array_equal(made, wanted)


@pytest.mark.parametrize("beta", [0.25, 0.5, 0.75, 0.875])
def test_a_file_s_float32_keeps_the_ties_of_a_binary_beta(beta: float) -> None:
    """snnTorch writes tau = dt / (1 - beta) in float32; its own beta is exact, and so are its ties."""
    snn = pytest.importorskip("snntorch")
    x = np.random.default_rng(0).integers(-4, 9, (200, 40, 6)) / 16
    wanted = stepped(snn.Leaky(beta, threshold=0.5, init_hidden=True, reset_mechanism="zero", reset_delay=False), x)
    dt, half = np.float32(DT), np.full(6, 0.5, np.float32)
    steps = np.full(6, 1 / (np.float32(1) - np.float32(beta)), np.float32)
    node = lif((6,), tau=steps * dt, r=steps * dt / dt, v_threshold=half)
    assert np.array_equal(ran(chain((6,), (6,), n=node), x, "snntorch", reset="zero")["n"], wanted)


@pytest.mark.parametrize(("mechanism", "late", "options"), RESETS)
def test_snntorch_synaptic(mechanism: str, late: bool, options: dict[str, str]) -> None:
    snn = pytest.importorskip("snntorch")
    neuron = snn.Synaptic(ALPHA, BETA, threshold=0.5, init_hidden=True, reset_mechanism=mechanism, reset_delay=late)
    node = cuba(
        (6,), tau_syn=tau(ALPHA), tau_mem=tau(BETA), r=tau(BETA) / DT, w_in=tau(ALPHA) / DT, v_threshold=np.full(6, 0.5)
    )
    made = ran(chain((6,), (6,), n=node), X, "snntorch", **options)["n"]
    wanted = stepped(neuron, X)
    assert 0.05 < wanted.mean() < 0.95
    if (mechanism, late) == (
        "zero",
        True,
    ):  # snnTorch then drops the step's input too, which no exported file is meant to
        assert not np.array_equal(made, wanted)
    else:
        assert np.array_equal(made, wanted)


@pytest.mark.parametrize("mechanism", ["zero", "subtract"])
def test_snntorch_recurrent_layer(mechanism: str) -> None:
    """As its exporter nests it: the layer's bias is there from the first step."""
    snn = pytest.importorskip("snntorch")
    torch.manual_seed(1)
    neuron = snn.RLeaky(
        BETA, linear_features=6, threshold=0.5, init_hidden=True, reset_mechanism=mechanism, reset_delay=False
    )
    wanted = stepped(neuron, X)
    weight, bias = (p.detach().numpy() for p in (neuron.recurrent.weight, neuron.recurrent.bias))
    ends = {"input": nir.Input(np.array([6])), "output": nir.Output(np.array([6]))}
    inner = {"lif": lif((6,), tau=tau(BETA), r=tau(BETA) / DT, v_threshold=np.full(6, 0.5))}
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    body = wired({**ends, **inner, "w_rec": nir.Affine(weight, bias)}, edges)
    graph = wired({**ends, "rnn": body}, [("input", "rnn"), ("rnn", "output")])
    assert np.array_equal(ran(graph, X, "snntorch", reset=mechanism)["output"], wanted)
    other = ran(graph, X, "snntorch", reset=mechanism, recurrence="zero")["output"]
    assert not np.array_equal(other, wanted)


@pytest.mark.parametrize("v_reset", [0.0, -0.25, None])
@pytest.mark.parametrize("decay_input", [True, False])
def test_spikingjelly_lif(decay_input: bool, v_reset: float | None) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    wanted = stepped(neuron.LIFNode(tau=4.0, decay_input=decay_input, v_threshold=0.25, v_reset=v_reset), 4 * X)
    rest = np.full(6, v_reset or 0.0)
    node = lif(
        (6,), tau=np.full(6, 4 * DT), r=np.full(6, 1.0 if decay_input else 4.0), v_leak=rest, v_reset=rest,
        v_threshold=np.full(6, 0.25),
    )  # fmt: skip
    reset = "subtract" if v_reset is None else "zero"
    made = ran(chain((6,), (6,), n=node), 4 * X, "spikingjelly", reset=reset)["n"]
    assert np.array_equal(made, wanted)
    assert 0.05 < wanted.mean() < 0.95


@pytest.mark.parametrize("v_reset", [0.0, None])
def test_spikingjelly_if(v_reset: float | None) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    wanted = stepped(neuron.IFNode(v_threshold=0.5, v_reset=v_reset), X)
    node = fire((6,), v_threshold=np.full(6, 0.5))
    made = ran(chain((6,), (6,), n=node), X, "spikingjelly", reset="subtract" if v_reset is None else "zero")["n"]
    assert 0.05 < wanted.mean() < 0.95
    assert np.array_equal(made, wanted)
