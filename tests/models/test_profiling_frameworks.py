"""Profiles of networks made with other packages, and the same metrics from the real NeuroBench."""

from __future__ import annotations

from typing import Any

import pytest
import snntorch
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity, Footprint
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import SNNTorchModel, TorchModel
from oracles import load_oracle
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from pumice.models import load_official, profile
from pumice.models.neuron import LIF
from pumice.models.profiling.profiler import Profile
from pumice.runtime.energy_report import neurobench_dict

STEPS = 3


class Stepped(nn.Module):
    """An snnTorch network shown `[B, T, …]`, a step at a time, from rest."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.net(x[:, t])[0] for t in range(x.shape[1])])


def snntorch_network() -> nn.Sequential:
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        snntorch.Leaky(beta=0.5, threshold=0.3, init_hidden=True),
        nn.Flatten(),
        nn.Linear(4 * 36, 5),
        snntorch.Leaky(beta=0.9, threshold=0.2, init_hidden=True, output=True),
    )
    with torch.no_grad():
        net[3].weight[net[3].weight.abs() < 0.03] = 0
    return net


def relu_network() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv1d(2, 3, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12, 4),
        nn.Sigmoid(),
        nn.Linear(4, 2),
    )


def frames(samples: int = 6) -> Tensor:
    """Spikes and their opposites, `[B, T, 1, 6, 6]`; NeuroBench calls -1 a spike."""
    return torch.randint(-1, 2, (samples, STEPS, 1, 6, 6), generator=torch.Generator().manual_seed(3)).float()


def benchmark(model: Any, inputs: Tensor, batch: int) -> dict[str, Any]:
    """NeuroBench's own harness on the network."""
    labels = torch.zeros(len(inputs))
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=batch)
    metrics = [[Footprint, ConnectionSparsity], [SynapticOperations, ActivationSparsity]]
    results: dict[str, Any] = Benchmark(model, loader, [], [], metrics).run(quiet=True)
    return results


def assert_same(found: Profile, results: dict[str, Any]) -> None:
    """Ours under NeuroBench's names; its ConnectionSparsity is rounded to four decimals."""
    ours = neurobench_dict(found.neurobench)
    operations = results["SynapticOperations"]
    assert {name: ours[name] for name in operations} == operations
    assert ours["Footprint"] == results["Footprint"]
    assert ours["ActivationSparsity"] == pytest.approx(results["ActivationSparsity"], abs=1e-12)
    assert round(ours["ConnectionSparsity"] or 0, 4) == results["ConnectionSparsity"]


@pytest.mark.parametrize("batch", [6, 2])
def test_neurobench_agrees_on_an_snntorch_network(batch: int) -> None:
    inputs = frames()
    results = benchmark(SNNTorchModel(snntorch_network()), inputs, batch)
    found = profile(Stepped(snntorch_network()).eval(), torch.split(inputs, batch))
    assert results["SynapticOperations"]["Effective_ACs"] > 0
    assert 0 < results["ActivationSparsity"] < 1
    assert results["ConnectionSparsity"] > 0
    assert_same(found, results)


def test_neurobench_agrees_on_a_relu_network() -> None:
    inputs = torch.randn(8, 2, 8, generator=torch.Generator().manual_seed(4))
    results = benchmark(TorchModel(relu_network()), inputs, 4)
    assert results["SynapticOperations"]["Effective_MACs"] > 0
    assert_same(profile(relu_network().eval(), torch.split(inputs, 4)), results)


@pytest.mark.parametrize(
    ("name", "family"),
    [("spikformer_cifar_2-64", "spikformer_cifar"), ("sdtv1_2-64_img32", "sdtv1"), ("qk_cifar_4-64", "qkformer_cifar")],
)
def test_neurobench_agrees_on_the_official_transformers(name: str, family: str) -> None:
    oracle = load_oracle(name)
    network = load_official(family, oracle.kwargs, oracle.weights)
    model = TorchModel(network)
    model.add_activation_module(LIF)
    results = benchmark(model, oracle.input, len(oracle.input))
    assert_same(profile(network, [oracle.input]), results)


def test_an_snntorch_network_counted_by_hand() -> None:
    net, inputs = snntorch_network().eval(), frames()
    found = profile(Stepped(net), [inputs])
    conv, linear = found.layers
    assert (conv.calls, conv.runs) == (STEPS, STEPS)
    first, second = found.activations
    assert (first.kind, first.calls, first.elements) == ("Leaky", STEPS, STEPS * 4 * 36)
    snntorch.utils.reset(net)
    spikes = torch.stack([net[1](net[0](inputs[:, t])) for t in range(STEPS)])
    fan_out = (net[3].weight != 0).double().sum(0)
    assert linear.events * len(inputs) == float((spikes.flatten(2).double() @ fan_out).sum())
    assert first.sparsity == pytest.approx(float((spikes == 0).double().mean()))
    assert second.name == "net.4"


class SpikingJellyAttention(nn.Module):
    """A plain SpikingJelly network with an element-wise attention, all steps at once: q ⊙ LIF(Σ k ⊙ v)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv = layer.Conv2d(1, 3, 3, padding=1, bias=False)
        self.lif = neuron.LIFNode(v_threshold=0.1)
        self.q_lif, self.k_lif, self.v_lif, self.gate = (neuron.LIFNode(v_threshold=0.1) for _ in range(4))
        self.q, self.k, self.v = (layer.Conv2d(3, 3, 1, bias=False) for _ in range(3))
        functional.set_step_mode(self, "m")

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.lif(self.conv(x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)))
        self.last = [lif(conv(spikes)) for lif, conv in zip(*self.pairs(), strict=True)]
        q, k, v = self.last
        gated: Tensor = q * self.gate((k * v).sum((-2, -1), keepdim=True))
        return gated.mean((0, 3, 4))

    def pairs(self) -> tuple[list[nn.Module], list[nn.Module]]:
        return [self.q_lif, self.k_lif, self.v_lif], [self.q, self.k, self.v]


def test_a_spikingjelly_network() -> None:
    net = SpikingJellyAttention().eval()
    inputs = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(6))
    found = profile(net, [inputs, inputs])  # the second time from rest again, or the counts would differ
    once = profile(net, [inputs])
    assert found.layers == once.layers
    rows = {row.name: row for row in found.layers}
    assert list(rows) == ["conv", "q", "k", "v", "mul0", "mul1"]
    assert (rows["conv"].runs, rows["conv"].spike_valued) == (STEPS, False)
    assert (rows["q"].runs, rows["q"].binary) == (STEPS, True)
    q, k, v = net.last
    assert rows["mul0"].events * 2 == int(((k * v) != 0).sum())
    assert rows["mul0"].events > 0
    assert rows["mul1"].dense * 2 == q.numel()
    assert [row.name for row in found.activations] == ["lif", "q_lif", "k_lif", "v_lif", "gate"]
    assert found.activations[1].sparsity == pytest.approx(float((q == 0).double().mean()))
