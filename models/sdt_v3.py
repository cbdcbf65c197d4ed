"""SDT-V3 (Yao et al., "Scaling Spike-driven Transformer with efficient spike firing approximation training"), class
`Spiking_vit_MetaFormer_Spike_SepConv`, and its token-pruned form. Official state-dict keys.

Token-pruned in either form of TP-Spikformer: tokens gathered (`gathered_tokens`) or gated (`token_pruning`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.gathered_tokens import (
    best_by_space,
    check_sides,
    gather_tokens,
    keep_map,
    routing_mask,
    scatter_tokens,
)
from pumice.models.multispike import MultiSpike
from pumice.models.network import Masks, SpikingNetwork, Trace, check_images, check_positive
from pumice.models.pruning.token_pruning import TokenPruning, check_masks
from pumice.models.sdt_layers import Routes, check_heads, check_one_pruning
from pumice.models.sdt_v3_layers import Block, ConvBlock, DownSampling

FAMILY = "SDT-V3"
OFFICIAL_K_VALUES = (0.9, 0.8, 0.8, 0.8, 0.75, 0.65, 0.65, 0.65)  # the token-pruned official constructor's default
BLOCKS = (6, 2)  # transformer blocks in stages 3 and 4, whatever `depths` says
HALVINGS = 4  # strided convolutions; the last downsampling has stride 1


@dataclass(frozen=True)
class SdtV3Config:
    """The official constructor's arguments. `k_values`: one share per transformer block; it keeps k*k tokens of its H x W,
    k = int(H * share). None prunes nothing.

    Without effect, as in the official code in eval mode: `depths`, `patch_size`, `sr_ratios`, `qkv_bias`, `qk_scale`,
    `drop_rate`, `attn_drop_rate`, `drop_path_rate`.
    """

    img_size_h: int = 224
    img_size_w: int = 224
    patch_size: int = 16
    in_channels: int = 3
    num_classes: int = 1000
    embed_dim: tuple[int, ...] = (32, 64, 128, 192)
    num_heads: int = 8
    mlp_ratios: int = 4
    qkv_bias: bool = False
    qk_scale: float | None = None
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    depths: int = 8
    sr_ratios: int = 1
    k_values: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "embed_dim", tuple(self.embed_dim))
        sizes = ("img_size_h", "img_size_w", "in_channels", "num_classes", "num_heads", "mlp_ratios")
        check_positive(FAMILY, {name: getattr(self, name) for name in sizes})
        _check_channels(self)
        if self.k_values is not None:
            object.__setattr__(self, "k_values", tuple(self.k_values))
            _check_shares(tuple(self.k_values))
            check_sides(FAMILY, self.sides(), sum(BLOCKS), self.grid)

    @property
    def grid(self) -> tuple[int, int]:
        """Token rows and columns (H', W') of the transformer blocks."""
        height, width = self.img_size_h, self.img_size_w
        for _ in range(HALVINGS):
            height, width = (height - 1) // 2 + 1, (width - 1) // 2 + 1
        return height, width

    @property
    def tokens(self) -> int:
        """N, the number of tokens of the transformer blocks."""
        height, width = self.grid
        return height * width

    def sides(self) -> tuple[int, ...]:
        """Per block the side k of the small image that it sees; truncated in floating point, as the official code does."""
        return tuple(int(self.grid[0] * share) for share in self.k_values or ())

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; `SdtV3Config(**d)` reads them back."""
        k_values = None if self.k_values is None else list(self.k_values)
        return asdict(self) | {"embed_dim": list(self.embed_dim), "k_values": k_values}


class SdtV3(SpikingNetwork):
    """The network. Two ways to prune its transformer blocks, both training-free and with the same state dict:
    `config.k_values` gathers tokens as the official code does; `pruning`, or masks given to `forward`, gates them in place.

    `forward` takes images `[B, C, H, W]` and returns class logits `[B, K]`. There is one timestep: masks are `[1, B, N]`.
    A trace holds levels 0 to 4, without a time axis.
    """

    def __init__(self, config: SdtV3Config, pruning: TokenPruning | None = None) -> None:
        super().__init__(sum(BLOCKS), pruning)
        self.config = config
        dims, ratio, heads = config.embed_dim, config.mlp_ratios, config.num_heads
        self.downsample1_1 = DownSampling(config.in_channels, dims[0] // 2, kernel=7, stride=2, first=True)
        self.ConvBlock1_1 = nn.ModuleList([ConvBlock(dims[0] // 2, ratio)])
        self.downsample1_2 = DownSampling(dims[0] // 2, dims[0], kernel=3, stride=2)
        self.ConvBlock1_2 = nn.ModuleList([ConvBlock(dims[0], ratio)])
        self.downsample2 = DownSampling(dims[0], dims[1], kernel=3, stride=2)
        self.ConvBlock2_1 = nn.ModuleList([ConvBlock(dims[1], ratio)])
        self.ConvBlock2_2 = nn.ModuleList([ConvBlock(dims[1], ratio)])
        self.downsample3 = DownSampling(dims[1], dims[2], kernel=3, stride=2)
        self.block3 = nn.ModuleList([Block(dims[2], heads, ratio) for _ in range(BLOCKS[0])])
        self.downsample4 = DownSampling(dims[2], dims[3], kernel=3, stride=1)
        self.block4 = nn.ModuleList([Block(dims[3], heads, ratio) for _ in range(BLOCKS[1])])
        self.spike = MultiSpike(norm=1)
        self.head = nn.Linear(dims[3], config.num_classes)

    def _run(self, x: Tensor, given: Masks | None) -> Trace:
        config = self.config
        check_images(FAMILY, x, (config.in_channels, config.img_size_h, config.img_size_w))
        check_one_pruning(FAMILY, config.k_values, self.pruning)
        if given is not None:
            check_masks(given, sum(BLOCKS), (1, x.shape[0], config.tokens))
        run = Routes()
        x = self._embed(x)
        for block in self.block3:
            x = self._transform(block, x, run, given)
        x = self.downsample4(x)
        for block in self.block4:
            x = self._transform(block, x, run, given)
        logits = self.head(self.spike(x.flatten(2).mean(2)))
        return Trace(logits, {}, tuple(run.masks), tuple(run.slots))

    def _embed(self, x: Tensor) -> Tensor:
        """The convolutional stages: images `[B, C, H, W]` to membranes `[B, D, H', W']`."""
        for down, blocks in (
            (self.downsample1_1, (self.ConvBlock1_1,)),
            (self.downsample1_2, (self.ConvBlock1_2,)),
            (self.downsample2, (self.ConvBlock2_1, self.ConvBlock2_2)),
            (self.downsample3, ()),
        ):
            x = down(x)
            for block in blocks:
                x = block[0](x)
        return x

    def _transform(self, block: nn.Module, x: Tensor, run: Routes, given: Masks | None) -> Tensor:
        """One transformer block, its choice of tokens noted in `run`. Tokens are scored before its convolution runs."""
        assert isinstance(block, Block)
        config, index = self.config, len(run.masks)
        if config.k_values is not None and given is None:
            chosen = best_by_space(x, config.sides()[index])
            run.slots.append(chosen)
            run.masks.append(routing_mask(chosen, 1, config.tokens))
            x = block.mix(x)
            return scatter_tokens(x, chosen, block.attend(gather_tokens(x, chosen)))
        mask = self._mask(x.flatten(2).transpose(1, 2).unsqueeze(0), index, config.grid, given)
        if mask is None:
            return block.attend(block.mix(x))
        run.masks.append(mask)
        return block.attend(block.mix(x), keep_map(mask, config.grid)[0])


def _check_channels(config: SdtV3Config) -> None:
    if len(config.embed_dim) != 4:
        raise InputError(f"{FAMILY}: embed_dim has {len(config.embed_dim)} entries, not 4", "one per stage")
    check_positive(FAMILY, {f"embed_dim[{stage}]": dim for stage, dim in enumerate(config.embed_dim)})
    if config.embed_dim[0] % 2:
        raise InputError(
            f"{FAMILY}: embed_dim[0] is {config.embed_dim[0]}, but must be even", "its first half stage uses half"
        )
    for stage in (2, 3):
        check_heads(FAMILY, f"embed_dim[{stage}]", config.embed_dim[stage], config.num_heads)


def _check_shares(shares: tuple[float, ...]) -> None:
    for block, share in enumerate(shares):
        if not 0.0 < share <= 1.0:
            raise InputError(f"{FAMILY}, block {block}: k_values {share} is not in (0, 1]", "1 keeps every token")
