"""Channel-first parts shared by Spikformer's ImageNet and DVS forms and by QKFormer: conv-BN-LIF, attention, MLP, block.

Streams are `[T, B, C, N]` (tokens) or `[T, B, C, H', W']` (a grid of N = H' * W' tokens); every part returns the shape
that it was given. `keep` is bool `[T, B, N]`, True where a token is routed, or None.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from pumice.models.neuron import LIF, GateState, Surrogate
from pumice.models.spikformer_layers import ATTENTION_THRESHOLD, POOL
from pumice.models.timesteps import per_step

BatchSemantics = Literal["independent", "official"]


def add_conv_bn_lif(owner: nn.Module, name: str, conv: nn.Conv1d | nn.Conv2d, surrogate: Surrogate) -> None:
    """Gives `owner` the layers `{name}_conv`, `{name}_bn`, `{name}_lif`: the official models keep them side by side."""
    norm = nn.BatchNorm1d if isinstance(conv, nn.Conv1d) else nn.BatchNorm2d
    owner.add_module(f"{name}_conv", conv)
    owner.add_module(f"{name}_bn", norm(conv.out_channels))
    owner.add_module(f"{name}_lif", LIF(surrogate=surrogate))


def currents(owner: nn.Module, name: str, x: Tensor) -> Tensor:
    """Convolution and BatchNorm of `owner`'s layer `name` at every step. x: `[T, B, C, ...]`; returns `[T, B, D, ...]`."""
    conv, norm = owner.get_submodule(f"{name}_conv"), owner.get_submodule(f"{name}_bn")
    return per_step(lambda frames: norm(conv(frames)), x)


def spikes_of(owner: nn.Module, name: str, x: Tensor, keep: Tensor | None, state: GateState) -> Tensor:
    """`currents`, then the layer's LIF."""
    current = currents(owner, name, x)
    spikes: Tensor = owner.get_submodule(f"{name}_lif")(current, gate(keep, current), state)
    return spikes


def gate(keep: Tensor | None, current: Tensor) -> Tensor | None:
    """keep `[T, B, N]` in the axes of current `[T, B, C, ...]`, so that it broadcasts over channels."""
    return None if keep is None else keep.view(*current.shape[:2], 1, *current.shape[3:])


def max_pool(x: Tensor) -> Tensor:
    """The official 3 x 3, stride 2 max-pool at every step. x: `[T, B, C, H, W]`."""
    return per_step(lambda frames: nn.functional.max_pool2d(frames, *POOL), x)


class ConvSSA(nn.Module):
    """Spiking self-attention, q (kᵀ v) · scale per head, without softmax; q, k and v have no bias.

    batch_semantics "official" is QKFormer's stage 3: `proj_lif` reads `[T·B, C, N]`, that is, the batch as time, so an
    image's spikes depend on the images before it in its batch. "independent" keeps samples apart; at B = 1 they agree.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        scale: float,
        surrogate: Surrogate,
        batch_semantics: BatchSemantics = "independent",
    ) -> None:
        super().__init__()
        self.heads = heads
        self.scale = scale
        self.batch_semantics = batch_semantics
        for name in ("q", "k", "v"):
            add_conv_bn_lif(self, name, nn.Conv1d(dim, dim, 1, bias=False), surrogate)
        self.attn_lif = LIF(ATTENTION_THRESHOLD, surrogate=surrogate)
        add_conv_bn_lif(self, "proj", nn.Conv1d(dim, dim, 1), surrogate)

    def forward(self, x: Tensor, keep: Tensor | None, state: GateState) -> Tensor:
        """x: spike counts `[T, B, C, ...]`; returns spikes of x's shape."""
        tokens = x.flatten(3)
        q, k, v = (spikes_of(self, name, tokens, keep, state) for name in ("q", "k", "v"))
        attended = self.coincidences(q, k, v)
        spikes = self.attn_lif(attended, gate(keep, attended), state)
        return self.project(currents(self, "proj", spikes), x, keep, state)

    def coincidences(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Binary `[T, B, C, N]` each. Sums of integers: every order of the product is exact."""
        q, k, v = (x.view(*x.shape[:2], self.heads, -1, x.shape[3]) for x in (q, k, v))
        return ((v @ k.transpose(-1, -2)) @ q).flatten(2, 3) * self.scale

    def project(self, current: Tensor, x: Tensor, keep: Tensor | None, state: GateState) -> Tensor:
        """Spikes of the output layer, in the shape of x. current: `[T, B, C, N]`."""
        lif = self.get_submodule("proj_lif")
        if self.batch_semantics == "independent":
            current = current.view(x.shape)
            spikes: Tensor = lif(current, gate(keep, current), state)
            return spikes
        gated = gate(keep, current)
        spikes = lif(current.flatten(0, 1), None if gated is None else gated.flatten(0, 1), state)
        return spikes.view(x.shape)


class ConvMLP(nn.Module):
    """Two 1 x 1 convolutions with BatchNorm and LIF, under the official `names`, on a grid (2d) or on tokens (1d)."""

    def __init__(
        self,
        dim: int,
        hidden: int,
        conv: type[nn.Conv1d | nn.Conv2d],
        surrogate: Surrogate,
        names: tuple[str, str] = ("fc1", "fc2"),
    ) -> None:
        super().__init__()
        self.names = names
        add_conv_bn_lif(self, names[0], conv(dim, hidden, 1), surrogate)
        add_conv_bn_lif(self, names[1], conv(hidden, dim, 1), surrogate)

    def forward(self, x: Tensor, keep: Tensor | None, state: GateState) -> Tensor:
        """x: spike counts; returns spikes of x's shape."""
        for name in self.names:
            x = spikes_of(self, name, x, keep, state)
        return x


class ConvBlock(nn.Module):
    """x + attention(x), then x + MLP(x). A gated token adds nothing to its residual stream, so it passes unchanged."""

    def __init__(self, attention_name: str, attention: nn.Module, mlp: ConvMLP, norm_dim: int | None = None) -> None:
        super().__init__()
        self.attention_name = attention_name
        self.add_module(attention_name, attention)
        self.mlp = mlp
        if norm_dim is not None:  # Spikformer's state dict has them; they are never applied
            self.norm1 = nn.LayerNorm(norm_dim)
            self.norm2 = nn.LayerNorm(norm_dim)

    def forward(self, x: Tensor, keep: Tensor | None = None, state: GateState = "hold") -> Tensor:
        """x: spike counts; returns spike counts of x's shape."""
        x = x + self.get_submodule(self.attention_name)(x, keep, state)
        out: Tensor = x + self.mlp(x, keep, state)
        return out
