"""SDT-V1, the Spike-Driven Transformer (Yao et al., NeurIPS 2023), and its token-pruned form. Official state-dict keys.

Token-pruned in either form of TP-Spikformer: tokens gathered (`gathered_tokens`) or gated (`token_pruning`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.gathered_tokens import (
    best_by_space_and_time,
    check_sides,
    gather_tokens,
    keep_map,
    routing_mask,
    scatter_tokens,
)
from pumice.models.network import Masks, SpikingNetwork, Trace, check_images, check_positive, check_width
from pumice.models.neuron import LIF, Surrogate
from pumice.models.pruning.token_pruning import TokenPruning, check_masks
from pumice.models.sdt_layers import Routes, check_one_pruning
from pumice.models.sdt_v1_layers import Block, PatchEmbed

FAMILY = "SDT-V1"
OFFICIAL_K_VALUES = (12, 12, 10, 10, 10, 10, 8, 8)  # what the token-pruned official constructor defaults to


@dataclass(frozen=True)
class SdtV1Config:
    """The official constructor's arguments. `k_values`: one k per block keeps k*k tokens there; None prunes nothing.

    `pooling_stat`: four digits, 1 for a max-pool in that stage of the patch embedding. `TET`: logits of every step instead
    of their mean. Without effect, as in the official code in eval mode: `patch_size`, `sr_ratios`, `qkv_bias`, `qk_scale`,
    `drop_rate`, `attn_drop_rate`, `drop_path_rate`, `attn_mode`, `get_embed`, `cml`.
    """

    img_size_h: int = 128
    img_size_w: int = 128
    patch_size: int = 16
    in_channels: int = 2
    num_classes: int = 11
    embed_dims: int = 512
    num_heads: int = 8
    mlp_ratios: int = 4
    qkv_bias: bool = False
    qk_scale: float | None = None
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    depths: int = 8
    sr_ratios: int = 1
    T: int = 4
    pooling_stat: str = "1111"
    attn_mode: str = "direct_xor"
    spike_mode: str = "lif"
    get_embed: bool = False
    dvs_mode: bool = False
    TET: bool = False
    cml: bool = False
    k_values: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        sizes = ("img_size_h", "img_size_w", "in_channels", "num_classes", "mlp_ratios", "depths", "T")
        check_positive(FAMILY, {name: getattr(self, name) for name in sizes})
        check_width(FAMILY, self.embed_dims, self.num_heads)
        _check_embedding(self)
        _check_variant(self)
        if self.k_values is not None:
            object.__setattr__(self, "k_values", tuple(self.k_values))
            _check_pruning(self, tuple(self.k_values))

    @property
    def pooled(self) -> tuple[bool, ...]:
        """Which of the four embedding stages halve the image."""
        return tuple(digit == "1" for digit in self.pooling_stat)

    @property
    def grid(self) -> tuple[int, int]:
        """Token rows and columns (H', W')."""
        factor = 2 ** sum(self.pooled)
        return self.img_size_h // factor, self.img_size_w // factor

    @property
    def tokens(self) -> int:
        """N, the number of tokens."""
        height, width = self.grid
        return height * width

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; `SdtV1Config(**d)` reads them back."""
        return asdict(self) | {"k_values": None if self.k_values is None else list(self.k_values)}


class SdtV1(SpikingNetwork):
    """The network. Two ways to prune it, both training-free and with the same state dict: `config.k_values` gathers tokens as
    the official code does; `pruning`, or masks given to `forward`, gates them in place, per timestep if wished.

    `forward` takes images `[B, C, H, W]`, each shown for T timesteps, or event frames `[B, T, C, H, W]`, and returns class
    logits `[B, K]` (with TET `[T, B, K]`); the official forward returns them with a hook dictionary.
    """

    def __init__(
        self, config: SdtV1Config, pruning: TokenPruning | None = None, surrogate: Surrogate | None = None
    ) -> None:
        super().__init__(config.depths, pruning)
        surrogate = surrogate or Surrogate()
        self.config = config
        self.patch_embed = PatchEmbed(config.in_channels, config.embed_dims, config.pooled, surrogate)
        blocks = [
            Block(config.embed_dims, config.num_heads, config.mlp_ratios, surrogate) for _ in range(config.depths)
        ]
        self.block = nn.ModuleList(blocks)
        self.head_lif = LIF(surrogate=surrogate)
        self.head = nn.Linear(config.embed_dims, config.num_classes)

    def _run(self, x: Tensor, given: Masks | None) -> Trace:
        config = self.config
        image = (config.in_channels, config.img_size_h, config.img_size_w)
        check_images(FAMILY, x, image, (config.T, *image))
        check_one_pruning(FAMILY, config.k_values, self.pruning)
        if given is not None:
            check_masks(given, config.depths, (config.T, x.shape[0], config.tokens))
        membrane = self.patch_embed(x if x.ndim == 4 else x.transpose(0, 1), config.T)
        run = Routes()
        for index, block in enumerate(self.block):
            membrane = self._transform(block, index, membrane, run, given)
        steps = self.head(self.head_lif(membrane.flatten(3).mean(3)))
        return Trace(steps if config.TET else steps.mean(0), {}, tuple(run.masks), tuple(run.slots))

    def _transform(
        self, block: Callable[..., Tensor], index: int, x: Tensor, run: Routes, given: Masks | None
    ) -> Tensor:
        """One block, its choice of tokens noted in `run`. x and result: membranes `[T, B, C, H, W]`."""
        config = self.config
        if config.k_values is not None and given is None:
            chosen = best_by_space_and_time(x, config.k_values[index])
            run.slots.append(chosen)
            run.masks.append(routing_mask(chosen, config.T, config.tokens))
            return scatter_tokens(x, chosen, block(gather_tokens(x, chosen)))
        mask = self._mask(x.flatten(3).transpose(2, 3), index, config.grid, given)
        if mask is None:
            return block(x)
        run.masks.append(mask)
        state = self.pruning.state if self.pruning else "hold"
        return block(x, keep_map(mask, config.grid), state)


def _check_embedding(config: SdtV1Config) -> None:
    if len(config.pooling_stat) != 4 or set(config.pooling_stat) - {"0", "1"}:
        raise InputError(
            f"{FAMILY}: pooling_stat {config.pooling_stat!r} is not four digits 0 or 1", "official: '1111'"
        )
    factor = 2 ** config.pooling_stat.count("1")
    if config.img_size_h % factor or config.img_size_w % factor:
        raise InputError(
            f"{FAMILY}: image {config.img_size_h} x {config.img_size_w} does not divide by {factor}, as its pools need",
            "another image size or pooling_stat",
        )


def _check_variant(config: SdtV1Config) -> None:
    if config.spike_mode != "lif":
        raise InputError(f"{FAMILY}: spike_mode {config.spike_mode!r} is not supported", "use 'lif'")
    if config.dvs_mode:
        raise InputError(
            f"{FAMILY}: dvs_mode is not supported", "it pools q, k, v inside the attention; use dvs_mode=False"
        )


def _check_pruning(config: SdtV1Config, sides: tuple[int, ...]) -> None:
    for block, side in enumerate(sides):
        if not isinstance(side, int):
            raise InputError(f"{FAMILY}, block {block}: k is {side}, not a whole number", "k*k tokens are kept")
    check_sides(FAMILY, sides, config.depths, config.grid)
    if config.T < 2:
        raise InputError(
            f"{FAMILY}: pruning scores the change between timesteps, but T is {config.T}", "T of at least 2"
        )
