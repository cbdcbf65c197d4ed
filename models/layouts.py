"""Recorded spikes as programs have them: channels first, tokens last, whatever layout the official code runs.

Feature maps `[T, B, C, H, W]`, tokens `[T, B, C, N]` with N = H·W row by row, one gate per channel `[T, B, C, 1]`,
the head `[T, B, C]`. Levels of MultiSpike likewise, with T = 1.
"""

from __future__ import annotations

from torch import Tensor

from pumice.models.network import SpikingNetwork, Trace
from pumice.models.qkformer import QKFormer
from pumice.models.sdt_v1 import SdtV1
from pumice.models.sdt_v3 import BLOCKS, SdtV3
from pumice.models.sparse_spikformer import SparseSpikformer
from pumice.models.spikformer import Spikformer
from pumice.models.spikformer_conv import SpikformerImagenet

PLAIN_MEMORY = ("k_lif", "v_lif")  # SparseSpikformer lets them see [T, B, C, N], a plain reading of [T, B, N, C]
CHANNEL_GATE = "talking_heads_lif"


def channel_first(model: SpikingNetwork, trace: Trace) -> dict[str, Tensor]:
    """The trace's spikes by layer, in the shapes above. Where tokens were gathered they are back at their places, and the
    others have no spikes."""
    spikes = {name: _channel_first(model, trace, name, recorded) for name, recorded in trace.spikes.items()}
    if not trace.slots:
        return spikes
    blocks = _block_prefixes(model)
    return {name: _placed(name, layer, trace, blocks) for name, layer in spikes.items()}


def _channel_first(model: SpikingNetwork, trace: Trace, name: str, spikes: Tensor) -> Tensor:
    in_block = name.startswith(("block", "stage"))
    match model:
        case SparseSpikformer() | Spikformer():
            if not in_block:
                return spikes
            misread = isinstance(model, SparseSpikformer) and name.endswith(PLAIN_MEMORY)
            rows = spikes.reshape(*spikes.shape[:2], spikes.shape[3], spikes.shape[2]) if misread else spikes
            return rows.transpose(2, 3)
        case SpikformerImagenet():
            return spikes.flatten(3) if in_block else spikes
        case QKFormer():
            # With the official batch semantics stage 3's proj_lif sees [T·B, C, N].
            steps = spikes.view(-1, len(trace.logits), *spikes.shape[1:]) if spikes.ndim == 3 else spikes
            return steps.flatten(3) if in_block else steps  # token attention's attn_lif is [T, B, heads, 1, N]
        case SdtV1():
            if name.endswith(CHANNEL_GATE):
                return spikes.flatten(2).unsqueeze(3)
            return spikes.flatten(3) if in_block else spikes
        case SdtV3():
            tokens = in_block and ".conv." not in name
            return (spikes.flatten(2) if tokens else spikes).unsqueeze(0)
        case _:
            raise TypeError(f"no layout is known for a {type(model).__name__}")


def _block_prefixes(model: SpikingNetwork) -> list[str]:
    """How the names of each block's layers begin, first block first."""
    match model:
        case SdtV3():
            return [
                f"{stage}.{i}." for stage, count in zip(("block3", "block4"), BLOCKS, strict=True) for i in range(count)
            ]
        case QKFormer():
            counts = enumerate(model.config.stage_blocks, start=1)
            return [f"stage{stage}.{i}." for stage, count in counts for i in range(count)]
        case _:
            return [f"block.{i}." for i in range(model.depth)]


def _placed(name: str, spikes: Tensor, trace: Trace, blocks: list[str]) -> Tensor:
    """Gathered tokens `[T, B, C, slots]` at their places `[T, B, C, N]`; other layers as they are."""
    block = next((index for index, prefix in enumerate(blocks) if name.startswith(prefix)), None)
    if block is None or spikes.ndim != 4 or name.endswith(CHANNEL_GATE):
        return spikes
    slots, tokens = trace.slots[block], trace.masks[block].shape[-1]
    everywhere = spikes.new_zeros(*spikes.shape[:3], tokens)
    return everywhere.scatter(3, slots[None, :, None, :].expand_as(spikes), spikes)
