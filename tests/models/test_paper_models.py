"""The papers' networks at full size: official numbers of parameters, and weights under which every layer fires."""

from __future__ import annotations

import pytest
import torch
from families import FAMILIES
from torch import Tensor

from pumice.errors import InputError
from pumice.models.network import SpikingNetwork
from pumice.models.paper_models import PAPER_MODELS, paper_model, paper_model_names, paper_samples, random_images
from pumice.models.random_weights import Rates, randomize, settle_rates
from pumice.models.tracing import recorded_spikes

# Millions of parameters of the official code's networks.
OFFICIAL = {
    "spikformer-4-384": 9.331,
    "sdt-v1-8-512": 29.690,
    "sdt-v1-8-768": 66.339,
    "qkformer-10-768": 64.963,
    "sdt-v3-19m": 18.988,
}


@pytest.mark.parametrize("name", paper_model_names())
def test_a_papers_network_has_its_official_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        network = PAPER_MODELS[name].build()
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 3) == OFFICIAL[name]


@pytest.mark.parametrize("family", FAMILIES)
def test_random_weights_fire_at_their_rates(family: str) -> None:
    """On the images that the rates were set on; neurons of attention have no BatchNorm of their own."""
    images = FAMILIES[family].images(8)
    network = randomize(FAMILIES[family].build(), images, 0, Rates())
    rates = rates_of(network, images)
    fed = {name: rate for name, rate in rates.items() if not name.endswith(("attn_lif", "attn_spike", "heads_lif"))}
    assert len(fed) > len(rates) // 2
    assert {name: rate for name, rate in fed.items() if not 0.1 < rate < 0.3} == {}


def test_the_rates_of_single_layers_can_be_chosen() -> None:
    family = FAMILIES["sdtv1"]
    network = randomize(family.build(), family.images(8), 0, Rates(special={"k_lif": 0.5}))
    rates = rates_of(network, family.images(8))
    assert all(0.4 < rate < 0.6 for name, rate in rates.items() if name.endswith("k_lif"))
    assert all(0.1 < rate < 0.3 for name, rate in rates.items() if name.endswith("q_lif"))


def test_given_weights_are_kept_when_rates_are_settled() -> None:
    family = FAMILIES["spikformer"]
    network, images = family.build(), family.images(8)
    weights = {name: w.clone() for name, w in network.named_parameters() if w.ndim > 1}
    settle_rates(network, images, Rates(usual=0.3), torch.Generator().manual_seed(0))
    assert all(torch.equal(network.get_parameter(name), weight) for name, weight in weights.items())
    fed = [rate for name, rate in rates_of(network, images).items() if not name.endswith("attn_lif")]
    assert fed == pytest.approx([0.3] * len(fed), abs=0.1)


def test_a_seed_makes_one_network() -> None:
    family = FAMILIES["spikformer"]
    first, again, other = (
        randomize(family.build(), family.images(4), seed, Rates()).state_dict() for seed in (3, 3, 4)
    )
    drawn = [name for name in first if name.endswith(("_linear.weight", "_bn.bias", "running_mean"))]
    assert drawn
    assert all(torch.equal(first[name], again[name]) for name in drawn)
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


def test_random_images_are_normalised_and_smooth() -> None:
    images = random_images(2, (3, 64, 48), 5)
    assert images.shape == (2, 3, 64, 48)
    assert abs(float(images.mean())) < 1e-5
    assert abs(float(images.std()) - 1) < 1e-5
    steps = images[..., 1:] - images[..., :-1]
    assert float(steps.std()) < 0.9  # of white noise, 1.4


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="'spikformer-9'"):
        paper_model("spikformer-9")
    with pytest.raises(InputError, match="'spikformer-9'"):
        paper_samples("spikformer-9")


@pytest.mark.slow
@pytest.mark.parametrize("name", paper_model_names())
def test_every_layer_of_a_papers_network_fires_now_and_then(name: str) -> None:
    rates = rates_of(paper_model(name), torch.from_numpy(paper_samples(name)))
    assert {layer: rate for layer, rate in rates.items() if not 0.015 <= rate <= 0.65} == {}
    assert 0.15 < sorted(rates.values())[len(rates) // 2] < 0.3


def rates_of(network: SpikingNetwork, images: Tensor) -> dict[str, float]:
    with torch.no_grad(), recorded_spikes(network) as spikes:
        network(images)
    return {name: float((fired != 0).float().mean()) for name, fired in spikes.items()}
