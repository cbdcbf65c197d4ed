"""The papers' networks at their full sizes, with seeded random weights that make every layer fire at a plausible rate.

For what depends on sizes and rates alone: mapping, compile times. They have learned nothing. On other images than those that
the rates were set on, 1.5 % to 65 % of each layer's neurons fire at a step, of most layers about 20 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from pumice.errors import InputError
from pumice.models.network import SpikingNetwork
from pumice.models.nir.export import input_shape
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerImagenetConfig
from pumice.models.random_weights import Rates, randomize
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.sdt_v3 import SdtV3, SdtV3Config
from pumice.models.spikformer import Spikformer, SpikformerConfig

SAMPLES = 2  # images that the rates are set on
IMAGENET = {"img_size_h": 224, "img_size_w": 224, "in_channels": 3, "num_classes": 1000}


@dataclass(frozen=True)
class PaperModel:
    """build: the network as its constructor leaves it. rates: what its neurons are to fire at."""

    build: Callable[[], SpikingNetwork]
    rates: Rates = field(default_factory=Rates)


def _operands(rate: float, names: str = "qkv") -> Rates:
    """Sparse operands of attention: its counts are sums of their products over tokens, and many would make it fire always."""
    return Rates(special={f"{name}_{kind}": rate for name in names for kind in ("lif", "spike")})


def _sdt_v1(dim: int) -> Callable[[], SpikingNetwork]:
    return lambda: SdtV1(SdtV1Config(**IMAGENET, embed_dims=dim, num_heads=8, depths=8))  # type: ignore[arg-type]


PAPER_MODELS: Mapping[str, PaperModel] = {
    "spikformer-4-384": PaperModel(lambda: Spikformer(SpikformerConfig()), _operands(0.1)),
    "sdt-v1-8-512": PaperModel(_sdt_v1(512), _operands(0.06, "kv")),
    "sdt-v1-8-768": PaperModel(_sdt_v1(768), _operands(0.06, "kv")),
    "qkformer-10-768": PaperModel(
        lambda: QKFormer(QKFormerImagenetConfig(embed_dims=768, depths=10)),
        Rates(special={"tssa.q_lif": 0.02, "q_lif": 0.06, "k_lif": 0.06, "v_lif": 0.06}),
    ),
    "sdt-v3-19m": PaperModel(lambda: SdtV3(SdtV3Config(embed_dim=(64, 128, 256, 360))), _operands(0.1)),
}


def paper_model_names() -> tuple[str, ...]:
    """Names that `paper_model` takes."""
    return tuple(PAPER_MODELS)


def paper_model(name: str, seed: int = 0) -> SpikingNetwork:
    """A network of a paper in eval mode, its weights random. The same seed gives the same network on the same machine.

    Raises InputError for an unknown name.
    """
    if name not in PAPER_MODELS:
        raise InputError(f"no paper's network is called {name!r}", f"known: {', '.join(PAPER_MODELS)}")
    model = PAPER_MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = model.build()
    images = torch.from_numpy(random_images(SAMPLES, input_shape(network), seed + 1))
    return randomize(network, images, seed, model.rates)


def random_images(samples: int, shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.float32]:
    """Images [samples, C, H, W] of mean 0 and variance 1, as a normalised data set has them: noise whose amplitude falls with
    frequency as natural images' does (1/f; Field, J. Opt. Soc. Am. A 1987), the channels much alike."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf  # no constant part
    noise = rng.standard_normal((samples, channels, height, width)) + 2 * rng.standard_normal(
        (samples, 1, height, width)
    )
    images = np.fft.irfft2(np.fft.rfft2(noise) / frequency, s=(height, width))
    return np.asarray(images / images.std(axis=(1, 2, 3), keepdims=True), np.float32)


def paper_samples(name: str, samples: int = 1, seed: int = 2) -> NDArray[np.float32]:
    """Calibration images [samples, C, H, W] for a paper's network: others than those that its rates were set on."""
    if name not in PAPER_MODELS:
        raise InputError(f"no paper's network is called {name!r}", f"known: {', '.join(PAPER_MODELS)}")
    with torch.device("meta"):
        shape = input_shape(PAPER_MODELS[name].build())
    return random_images(samples, shape, seed)
