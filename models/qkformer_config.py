"""The official constructors' arguments of QKFormer's forms, and what follows from them: stages, heads, token grids.

zhouchenlin2096/QKFormer (cifar10/model.py, imagenet/qkformer.py) and TP-Spikformer's official code (qk_drop/qkformer.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from pumice.errors import InputError
from pumice.models.network import check_positive, check_width
from pumice.models.qkformer_embed import Stage


@dataclass(frozen=True)
class QKFormerConfig:
    """The official constructor's arguments (CIFAR form).

    `patch_size`, `qkv_bias` and `sr_ratios` have no effect there, and neither has `num_heads`: the code sets 8.
    """

    who: ClassVar[str] = "QKFormer (CIFAR)"
    stem: ClassVar[Stage] = Stage("proj", False)
    first: ClassVar[tuple[Stage, ...]] = (Stage("proj1", False),)
    later: ClassVar[tuple[Stage, ...]] = (Stage("proj3", False), Stage("proj4", True))
    token_blocks: ClassVar[tuple[int, int]] = (1, 1)  # of stages 1 and 2
    attention: ClassVar[str] = "ssa"
    mlp: ClassVar[tuple[str, str]] = ("mlp1", "mlp2")

    img_size_h: int = 32
    img_size_w: int = 32
    patch_size: int = 4
    in_channels: int = 3
    num_classes: int = 10
    embed_dims: int = 384
    num_heads: int = 8
    mlp_ratios: int = 4
    qkv_bias: bool = False
    depths: int = 4
    sr_ratios: int = 1
    T: int = 4

    def __post_init__(self) -> None:
        names = ("img_size_h", "img_size_w", "in_channels", "num_classes", "mlp_ratios", "depths", "T")
        check_positive(self.who, {name: getattr(self, name) for name in names})
        check_width(self.who, self.embed_dims, 1)
        if self.heads < 1 or self.embed_dims // 4 % self.heads:
            raise InputError(
                f"{self.who}: the {self.embed_dims // 4} channels of stage 1 do not divide into {self.heads} heads",
                "a quarter of embed_dims must be a multiple of the heads",
            )
        if self.depths < sum(self.token_blocks):
            raise InputError(
                f"{self.who}: depths is {self.depths}, but stages 1 and 2 alone have {sum(self.token_blocks)} blocks",
                "depths counts the blocks of all three stages",
            )

    @property
    def heads(self) -> int:
        """Attention heads of every stage."""
        return 8

    @property
    def stage_blocks(self) -> tuple[int, int, int]:
        """Blocks of each stage."""
        return (*self.token_blocks, self.depths - sum(self.token_blocks))

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """Token rows and columns (H', W') of every block."""
        pools = (sum(stage.pool for stage in (self.stem, *self.first)), 1, 1)
        height, width = self.img_size_h, self.img_size_w
        grids: list[tuple[int, int]] = []
        for count, blocks in zip(pools, self.stage_blocks, strict=True):
            for _ in range(count):
                height, width = (height - 1) // 2 + 1, (width - 1) // 2 + 1
            grids += [(height, width)] * blocks
        return tuple(grids)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; the same class reads them back."""
        return asdict(self)


@dataclass(frozen=True)
class QKFormerImagenetConfig(QKFormerConfig):
    """The official constructor's arguments (ImageNet form)."""

    who: ClassVar[str] = "QKFormer (ImageNet)"
    stem: ClassVar[Stage] = Stage("proj", True)
    first: ClassVar[tuple[Stage, ...]] = (Stage("proj1", True), Stage("proj2", False))
    later: ClassVar[tuple[Stage, ...]] = (Stage("proj3", True), Stage("proj4", False))
    token_blocks: ClassVar[tuple[int, int]] = (1, 2)
    attention: ClassVar[str] = "attn"
    mlp: ClassVar[tuple[str, str]] = ("fc1", "fc2")

    img_size_h: int = 224
    img_size_w: int = 224
    patch_size: int = 16
    num_classes: int = 1000
    embed_dims: int = 512
    depths: int = 10

    @property
    def heads(self) -> int:
        """Attention heads of every stage."""
        return self.num_heads


@dataclass(frozen=True)
class QKFormerTpConfig(QKFormerImagenetConfig):
    """The arguments of TP-Spikformer's `qk_drop`: block i keeps int(H' · k_values[i])² of its H' x W' tokens."""

    who: ClassVar[str] = "QKFormer (TP)"

    k_values: tuple[float, ...] = (0.9, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.75, 0.75, 0.75)

    def __post_init__(self) -> None:
        object.__setattr__(self, "k_values", tuple(self.k_values))
        super().__post_init__()
        if len(self.k_values) < self.depths:
            raise InputError(
                f"{self.who}: k_values has {len(self.k_values)} entries for {self.depths} blocks", "give one per block"
            )
        for block in range(self.depths):
            self._check_k_value(block)
        if self.T < 2:
            raise InputError(f"{self.who}: T is {self.T}, but its score compares timesteps", "use T >= 2")

    def side(self, block: int) -> int:
        """k of a block that keeps k * k tokens: rows times k_value, truncated, whatever the columns."""
        return int(self.grids[block][0] * self.k_values[block])

    def _check_k_value(self, block: int) -> None:
        who, value, (height, width) = f"{self.who}, block {block}", self.k_values[block], self.grids[block]
        if not 0.0 < value <= 1.0:
            raise InputError(f"{who}: k_value {value} is not in (0, 1]", "1 keeps every token")
        if block and value > self.k_values[block - 1]:
            raise InputError(
                f"{who}: k_value {value} exceeds {self.k_values[block - 1]} before it",
                "retention may only fall with depth",
            )
        side = self.side(block)
        if not 1 <= side * side <= height * width:
            raise InputError(f"{who}: k_value {value} keeps {side * side} of {height} x {width} tokens", "see k_values")
