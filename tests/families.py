"""Tiny random networks of every family, in which neurons fire, and what each family's blocks see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pumice.models.network import SpikingNetwork
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerConfig
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.sdt_v3 import SdtV3, SdtV3Config
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.spikformer_conv import SpikformerImagenet, SpikformerImagenetConfig

CLASSES = 4


@dataclass(frozen=True)
class Family:
    """steps: T; grids: token rows and columns of every block; image: shape [C, H, W]; lift: mean of the BatchNorms' biases."""

    build: Callable[[], SpikingNetwork]
    steps: int
    grids: tuple[tuple[int, int], ...]
    image: tuple[int, int, int]
    lift: float = 1.0

    def network(self) -> SpikingNetwork:
        """A network in eval mode, the same every time. Its BatchNorms know the images, so that what fires depends on them."""
        torch.manual_seed(0)
        network = self.build().train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 1.0, 2.0)
                nn.init.uniform_(module.bias, self.lift - 0.5, self.lift + 0.5)
                module.momentum = 1.0
        with torch.no_grad():
            network(self.images(16))
        return network.eval()

    def images(self, samples: int) -> Tensor:
        """Random images [samples, C, H, W], some brighter than others."""
        generator = torch.manual_seed(1)
        bright = torch.rand(samples, 1, 1, 1, generator=generator)
        return bright * torch.rand(samples, *self.image, generator=generator)


FAMILIES: dict[str, Family] = {
    "spikformer": Family(
        lambda: Spikformer(SpikformerConfig(16, 16, 4, 1, CLASSES, 16, 2, 2, depths=3, T=3, pool_stages=(3,))),
        3,
        ((8, 8),) * 3,
        (1, 16, 16),
    ),
    "spikformer-imagenet": Family(
        lambda: SpikformerImagenet(SpikformerImagenetConfig(64, 48, 16, 1, CLASSES, 16, 2, 2, depths=2)),
        4,
        ((4, 3),) * 2,
        (1, 64, 48),
    ),
    "sdtv1": Family(
        lambda: SdtV1(SdtV1Config(24, 24, 16, 1, CLASSES, 16, 2, 2, depths=2, T=3, pooling_stat="0011")),
        3,
        ((6, 6),) * 2,
        (1, 24, 24),
        lift=0.0,
    ),
    "qkformer": Family(
        lambda: QKFormer(QKFormerConfig(16, 16, 4, 1, CLASSES, 32, mlp_ratios=2, depths=4, T=3)),
        3,
        ((16, 16), (8, 8), (4, 4), (4, 4)),
        (1, 16, 16),
    ),
    "sdtv3": Family(
        lambda: SdtV3(SdtV3Config(80, 64, 16, 1, CLASSES, (4, 4, 8, 8), 2, 2)), 1, ((5, 4),) * 8, (1, 80, 64)
    ),
}
