"""SparseSpikformer (CIFAR form): Spikformer whose learned token selector drops tokens for good, in depth order.

Official state-dict keys, LIF shapes and output: Rocherster/SparseSpikformer, cifar10/sparse_new_model.py.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.gathered_tokens import routing_mask
from pumice.models.network import Masks, SpikingNetwork, Trace, check_images, check_positive, check_width
from pumice.models.neuron import GateState, Surrogate
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.spikformer_layers import ATTENTION_SCALE, SSA, Block, PatchEmbed, token_norm

POOLED_STAGES = (2, 3)


@dataclass(frozen=True)
class SparseSpikformerConfig:
    """The official constructor's arguments.

    pruning_loc: the blocks with a token selector before them. token_ratio: the fraction of the image's tokens, not of
    those left, that each selector keeps. `patch_size`, `qkv_bias` and `sr_ratios` stand there without effect.
    """

    who: ClassVar[str] = "SparseSpikformer"

    img_size_h: int = 32
    img_size_w: int = 32
    patch_size: int = 4
    in_channels: int = 3
    num_classes: int = 10
    embed_dims: int = 384
    num_heads: int = 12
    mlp_ratios: int = 4
    qkv_bias: bool = False
    depths: int = 4
    sr_ratios: int = 1
    T: int = 4
    pruning_loc: tuple[int, ...] = (1, 2, 3)
    token_ratio: tuple[float, ...] = (0.9, 0.81, 0.729)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pruning_loc", tuple(self.pruning_loc))
        object.__setattr__(self, "token_ratio", tuple(self.token_ratio))
        names = ("img_size_h", "img_size_w", "in_channels", "num_classes", "mlp_ratios", "depths", "T")
        check_positive(self.who, {name: getattr(self, name) for name in names})
        check_width(self.who, self.embed_dims, self.num_heads)
        self._check_schedule()

    @property
    def tokens(self) -> int:
        """N, the number of tokens after the patch embedding's two max-pools."""
        height, width = self.img_size_h, self.img_size_w
        for _ in POOLED_STAGES:
            height, width = (height - 1) // 2 + 1, (width - 1) // 2 + 1
        return height * width

    def kept(self, selector: int) -> int:
        """How many tokens a selector keeps: its ratio of N, truncated."""
        return int(self.tokens * self.token_ratio[selector])

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; the same class reads them back."""
        return asdict(self) | {"pruning_loc": list(self.pruning_loc), "token_ratio": list(self.token_ratio)}

    def _check_schedule(self) -> None:
        blocks, ratios = self.pruning_loc, self.token_ratio
        if len(blocks) != len(ratios):
            raise InputError(
                f"{self.who}: {len(ratios)} ratios for {len(blocks)} blocks", "one token_ratio per pruning_loc"
            )
        if list(blocks) != sorted(set(blocks)) or any(block not in range(self.depths) for block in blocks):
            raise InputError(
                f"{self.who}: pruning_loc {blocks} does not name blocks 0 to {self.depths - 1} in order",
                "e.g. (1, 2, 3)",
            )
        for selector, ratio in enumerate(ratios):
            if not 0.0 < ratio <= 1.0:
                raise InputError(f"{self.who}: token_ratio {ratio} is not in (0, 1]", "1 keeps every token")
            if selector and ratio > ratios[selector - 1]:
                raise InputError(
                    f"{self.who}: token_ratio {ratio} exceeds {ratios[selector - 1]} before it",
                    "dropped tokens are gone",
                )
            if not self.kept(selector):
                raise InputError(
                    f"{self.who}: token_ratio {ratio} of {self.tokens} tokens leaves none", "a larger ratio"
                )


@dataclass(frozen=True)
class SparseTrace(Trace):
    """A `Trace`, and the second half of the official output.

    decisions, one per selector: in eval mode the kept positions among the tokens left, best first, int64 `[T·B, kept]`;
    in training mode the keep decisions, 0 or 1 with a gradient, `[T·B, N]`. `slots` names the same tokens by their
    place in the image, for every block.
    """

    decisions: tuple[Tensor, ...] = ()


class TokenSelector(nn.Module):
    """Keep and drop log-probabilities of tokens from their mean over time."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Sequential(nn.Linear(dim, dim // 2), nn.GELU(), nn.Linear(dim // 2, 2), nn.LogSoftmax(dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        """x: spike counts `[T, B, N, C]`; returns `[B, N, 2]`, keep first."""
        scores: Tensor = self.linear(x.mean(0))
        return scores


class SelectiveSSA(SSA):
    """Spikformer's attention, and in training a soft way to drop tokens: nobody attends to a token with policy 0.

    The official code lets k_lif and v_lif see `[T, B, C, N]`, a reading of the same memory that changes no spike.
    """

    def forward(
        self, x: Tensor, keep: Tensor | None = None, state: GateState = "hold", policy: Tensor | None = None
    ) -> Tensor:
        """x: spike counts `[T, B, N, C]`; policy: `[T, B, N]`, 1 keeps, or None. Returns spikes `[T, B, N, C]`."""
        steps, batch, tokens, channels = x.shape
        q = self.q_lif(token_norm(self.q_bn, self.q_linear(x)))
        k = token_norm(self.k_bn, self.k_linear(x)).reshape(steps, batch, channels, tokens)
        v = token_norm(self.v_bn, self.v_linear(x)).reshape(steps, batch, channels, tokens)
        k, v = self.k_lif(k).view(x.shape), self.v_lif(v).view(x.shape)
        attended = self.coincidences(q, k, v) if policy is None else self._among(policy, q, k, v)
        out: Tensor = self.proj_lif(token_norm(self.proj_bn, self.proj_linear(self.attn_lif(attended))))
        return out

    def _among(self, policy: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """`coincidences` in which a dropped token is seen by itself alone, so that its gradient stays alive."""
        q, k, v = (x.view(*x.shape[:3], self.heads, -1).transpose(2, 3) for x in (q, k, v))
        alone = torch.eye(policy.shape[-1], dtype=policy.dtype, device=policy.device)
        seen = policy[:, :, None, None, :]
        attention = (q @ k.transpose(-1, -2)) * (seen + (1 - seen) * alone)
        out: Tensor = (attention @ v).transpose(2, 3).flatten(3) * ATTENTION_SCALE
        return out


class SelectiveBlock(Block):
    """Spikformer's block with `SelectiveSSA`."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, surrogate: Surrogate) -> None:
        super().__init__(dim, heads, mlp_ratio, surrogate)
        self.attn = SelectiveSSA(dim, heads, surrogate)

    def select(self, x: Tensor, policy: Tensor | None) -> Tensor:
        """x: spike counts `[T, B, N, C]`; policy: `[T, B, N]` or None. Returns spike counts `[T, B, N, C]`."""
        x = x + self.attn(x, policy=policy)
        out: Tensor = x + self.mlp(x, None, "hold")
        return out


class SparseSpikformer(SpikingNetwork):
    """The network. In eval mode it drops tokens; in training mode it samples keep decisions (Gumbel-softmax, hard)."""

    def __init__(self, config: SparseSpikformerConfig, surrogate: Surrogate | None = None) -> None:
        super().__init__(config.depths)
        surrogate = surrogate or Surrogate()
        self.config = config
        self.predictor = nn.ModuleList(TokenSelector(config.embed_dims) for _ in config.pruning_loc)
        self.patch_embed = PatchEmbed(config.in_channels, config.embed_dims, POOLED_STAGES, surrogate)
        self.block = nn.ModuleList(
            SelectiveBlock(config.embed_dims, config.num_heads, config.mlp_ratios, surrogate)
            for _ in range(config.depths)
        )
        self.head = nn.Linear(config.embed_dims, config.num_classes)

    def decide(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The official output: logits `[B, K]`, and the decisions of `SparseTrace`, whose training form the loss needs."""
        run = self._run(x, None)
        return run.logits, run.decisions

    def _check_pruning(self, pruning: TokenPruning) -> None:
        raise InputError(f"{self.config.who} selects its tokens itself", "set no pruning; choose token_ratio")

    def _run(self, x: Tensor, given: Masks | None) -> SparseTrace:
        """x: static images `[B, C, H, W]`, each shown for T timesteps."""
        config = self.config
        check_images(config.who, x, (config.in_channels, config.img_size_h, config.img_size_w))
        if given is not None:
            raise InputError(f"{config.who} selects its tokens itself", "give no masks")
        tokens = self.patch_embed(x, config.T).flatten(3).transpose(2, 3)
        return self._sampled(tokens) if self.training else self._dropped(tokens)

    def _dropped(self, x: Tensor) -> SparseTrace:
        """The blocks on fewer and fewer tokens. x: spike counts `[T, B, N, C]`."""
        steps, batch, tokens, _ = x.shape
        places = torch.arange(tokens, device=x.device).expand(batch, tokens)
        decisions, slots = [], []
        for index, block in enumerate(self.block):
            if index in self.config.pruning_loc:
                selector = self.config.pruning_loc.index(index)
                scores = self.predictor[selector](x)[..., 0]
                best = scores.argsort(dim=1, descending=True, stable=True)[:, : self.config.kept(selector)]
                x = x.gather(2, best[None, :, :, None].expand(steps, -1, -1, x.shape[3]))
                places = places.gather(1, best)
                decisions.append(best.repeat(steps, 1))
            slots.append(places)
            x = block.select(x, None)
        masks = tuple(routing_mask(kept, steps, tokens) for kept in slots)
        return SparseTrace(self.head(x.mean(2).mean(0)), {}, masks, tuple(slots), tuple(decisions))

    def _sampled(self, x: Tensor) -> SparseTrace:
        """The blocks on all tokens, with attention to the dropped ones cut. x: spike counts `[T, B, N, C]`."""
        steps = x.shape[0]
        policy = torch.ones_like(x[..., 0])
        decisions, masks = [], []
        for index, block in enumerate(self.block):
            if index in self.config.pruning_loc:
                scores = self.predictor[self.config.pruning_loc.index(index)](x)
                sampled = nn.functional.gumbel_softmax(scores, hard=True)[..., 0]
                policy = sampled.expand(steps, -1, -1) * policy  # once dropped, a token stays dropped
                decisions.append(policy.flatten(0, 1))
            masks.append(policy.detach() > 0)
            x = block.select(x, policy)
        return SparseTrace(self.head(x.mean(2).mean(0)), {}, tuple(masks), decisions=tuple(decisions))
