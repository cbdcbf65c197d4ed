"""Tiny random torch networks of every family that has a form in NIR: neurons fire, and BatchNorms matter."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pumice.hwsim.scoring import Criterion
from pumice.models.network import SpikingNetwork
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerConfig, QKFormerImagenetConfig
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.sdt_v3 import SdtV3, SdtV3Config
from pumice.models.sparse_spikformer import SparseSpikformer, SparseSpikformerConfig
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.spikformer_conv import (
    SpikformerDvs,
    SpikformerDvsConfig,
    SpikformerImagenet,
    SpikformerImagenetConfig,
)


@dataclass(frozen=True)
class Tiny:
    """sample: shape of one sample, `[C, H, W]` or frames `[T, C, H, W]`; blocks: how many a token pruning names, 0 where the
    network selects its tokens by itself."""

    build: Callable[[], SpikingNetwork]
    sample: tuple[int, ...]
    blocks: int

    def model(self, seed: int = 0) -> SpikingNetwork:
        """In eval mode and float64, the same for the same seed. BatchNorms know the samples, so that neurons fire."""
        return deepcopy(_built(self, seed))

    def samples(self, count: int, seed: int = 1) -> NDArray[np.float64]:
        """Random samples `[count, …]`, some brighter than others."""
        rng = np.random.default_rng(seed)
        bright = rng.uniform(0.3, 1.0, (count, *[1] * len(self.sample)))
        return bright * rng.random((count, *self.sample))

    def pruning(self, criterion: Criterion, state: str = "hold") -> TokenPruning:
        """A schedule from 0.8 down to 0.4."""
        return TokenPruning(tuple(np.linspace(0.8, 0.4, self.blocks).tolist()), criterion, state)  # type: ignore[arg-type]


@cache
def _built(tiny: Tiny, seed: int) -> SpikingNetwork:
    torch.manual_seed(seed)
    model = tiny.build().double().train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 1.0, 2.0)
        nn.init.uniform_(norm.bias, 0.0, 1.0)
        norm.momentum = 1.0
    for name, norm in model.named_modules():
        if name.endswith(("q_bn", "k_bn", "v_bn")):
            norm.bias.data.add_(2.0)  # so that attention is busy with few tokens
    with torch.no_grad():
        model(torch.from_numpy(tiny.samples(8, seed=5)))
        for norm in norms:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.add_(0.1 * torch.randn_like(norm.running_mean))
            norm.running_var.mul_(torch.rand_like(norm.running_var) + 0.5).add_(0.01)
    return model.eval()


def _sparse() -> SpikingNetwork:
    return SparseSpikformer(
        SparseSpikformerConfig(16, 24, 4, 2, 5, 16, 2, 3, depths=4, T=3, pruning_loc=(1, 3), token_ratio=(0.7, 0.4))
    )


TINY: dict[str, Tiny] = {
    "spikformer": Tiny(
        lambda: Spikformer(SpikformerConfig(8, 12, 4, 2, 5, 16, 2, 3, depths=2, T=3, pool_stages=(3,))), (2, 8, 12), 2
    ),
    "spikformer-imagenet": Tiny(
        lambda: SpikformerImagenet(SpikformerImagenetConfig(48, 32, 16, 2, 5, 16, 2, 3, depths=2, T=3)), (2, 48, 32), 2
    ),
    "spikformer-dvs": Tiny(
        lambda: SpikformerDvs(SpikformerDvsConfig(48, 32, 16, 2, 5, 16, 2, 3, depths=2, T=3)), (3, 2, 48, 32), 2
    ),
    "sparse-spikformer": Tiny(_sparse, (2, 16, 24), 0),
    "sdt-v1": Tiny(
        lambda: SdtV1(SdtV1Config(16, 24, 4, 3, 5, 16, 2, 3, depths=2, T=3, pooling_stat="0101")), (3, 16, 24), 2
    ),
    "sdt-v1-narrow": Tiny(  # mlp_ratios 1 has a shortcut inside the MLP; two channels are events
        lambda: SdtV1(SdtV1Config(16, 24, 4, 2, 5, 16, 2, 1, depths=2, T=3, pooling_stat="1010")), (3, 2, 16, 24), 2
    ),
    "sdt-v3": Tiny(lambda: SdtV3(SdtV3Config(64, 48, 16, 2, 5, (4, 8, 8, 16), 2, 2)), (2, 64, 48), 8),
    "qkformer": Tiny(lambda: QKFormer(QKFormerConfig(8, 12, 4, 2, 5, 32, 8, 2, depths=3, T=3)), (2, 8, 12), 3),
    "qkformer-imagenet": Tiny(
        lambda: QKFormer(QKFormerImagenetConfig(32, 48, 16, 2, 5, 16, 2, 3, depths=4, T=3)), (2, 32, 48), 4
    ),
}
