"""QKFormer's patch embeddings with deformed shortcut: BN, then max-pool, then LIF, plus a 1 x 1 residual branch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from pumice.models.conv_layers import add_conv_bn_lif, currents, max_pool, spikes_of
from pumice.models.neuron import Surrogate


@dataclass(frozen=True)
class Stage:
    """One conv-BN-LIF layer of a patch embedding: its official name, and whether it max-pools its currents."""

    name: str
    pool: bool


class ResidualEmbed(nn.Module):
    """`stages` in sequence, plus a strided 1 x 1 conv-BN-LIF from their input. zhouchenlin2096/QKFormer."""

    def __init__(self, inputs: int, dim: int, stages: tuple[Stage, ...], surrogate: Surrogate) -> None:
        super().__init__()
        self.stages = stages
        for stage in stages:
            add_conv_bn_lif(self, stage.name, nn.Conv2d(inputs, dim, 3, padding=1, bias=False), surrogate)
            inputs = dim
        stride = 2 if any(stage.pool for stage in stages) else 1
        add_conv_bn_lif(self, "proj_res", nn.Conv2d(dim // 2, dim, 1, stride, bias=False), surrogate)

    def forward(self, x: Tensor) -> Tensor:
        """x: spike counts `[T, B, C, H, W]`; returns spike counts `[T, B, D, H', W']`, half the size if a stage pools."""
        main = x
        for stage in self.stages:
            main = self._spikes(stage, currents(self, stage.name, main))
        return main + spikes_of(self, "proj_res", x, None, "hold")

    def _spikes(self, stage: Stage, current: Tensor) -> Tensor:
        current = max_pool(current) if stage.pool else current
        spikes: Tensor = self.get_submodule(f"{stage.name}_lif")(current)
        return spikes


class ImageEmbed(ResidualEmbed):
    """The first embedding: a stem on the still image, then `ResidualEmbed`."""

    def __init__(
        self, in_channels: int, dim: int, stem: Stage, stages: tuple[Stage, ...], surrogate: Surrogate
    ) -> None:
        super().__init__(dim // 2, dim, stages, surrogate)
        self.stem = stem
        add_conv_bn_lif(self, stem.name, nn.Conv2d(in_channels, dim // 2, 3, padding=1, bias=False), surrogate)

    def forward(self, x: Tensor, steps: int = 4) -> Tensor:
        """x: images `[B, C, H, W]`, shown at each of `steps` timesteps. Returns spike counts `[T, B, D, H', W']`."""
        # The image does not change, so the stem's currents are those of one step.
        current = currents(self, self.stem.name, x.unsqueeze(0))
        current = max_pool(current) if self.stem.pool else current
        spikes: Tensor = self.get_submodule(f"{self.stem.name}_lif")(current.expand(steps, *current.shape[1:]))
        return super().forward(spikes)
