"""The `float` backend: the original torch model, on a GPU if there is one. The reference that programs are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pumice.errors import BackendUnavailable, InputError

if TYPE_CHECKING:
    from pumice.models.network import SpikingNetwork

BATCH = 64
PIXELS = 1 << 18  # of one batch: large images run in smaller batches

Schedule = NDArray[np.bool_] | Sequence[NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class FloatRun:
    """logits [B, K]; spikes (of MultiSpike: levels) per layer, [T, B, C, …] as programs have them, tokens last; masks per
    block [T, B, N]."""

    logits: NDArray[np.float64]
    spikes: Mapping[str, NDArray[np.uint8]]
    masks: tuple[NDArray[np.bool_], ...]
    device: str


def torch_device() -> str:
    """ "cuda" where torch sees a GPU, else "cpu". Raises BackendUnavailable without torch."""
    try:
        import torch
    except ImportError as error:
        raise BackendUnavailable("the float backend needs PyTorch", "pip install 'pumice[torch]'") from error
    return "cuda" if torch.cuda.is_available() else "cpu"


def run_float(
    model: SpikingNetwork, inputs: NDArray[Any], masks: Schedule | None = None, record: bool = True
) -> FloatRun:
    """The model, in its own precision, on samples [B, C, H, W], or event frames [B, T, C, H, W].

    masks: a routing schedule that replaces scoring, [B, blocks, T, N], or [B, T, N] per block where N differs.
    """
    device = torch_device()
    model = model.to(device)
    size = _batch_size(inputs)
    parts = [
        _run_batch(model, inputs[k : k + size], _rows(masks, slice(k, k + size)), record, device)
        for k in range(0, len(inputs), size)
    ]
    if not parts:
        raise InputError("no samples to run", "give an array of at least one sample")
    return FloatRun(
        np.concatenate([p.logits for p in parts]),
        {name: np.concatenate([p.spikes[name] for p in parts], axis=1) for name in parts[0].spikes},
        tuple(np.concatenate(block, axis=1) for block in zip(*(p.masks for p in parts), strict=True)),
        device,
    )


def _batch_size(inputs: NDArray[Any]) -> int:
    return max(1, min(BATCH, PIXELS // max(1, int(np.prod(inputs.shape[-2:])))))


def _rows(masks: Schedule | None, samples: slice) -> list[NDArray[np.bool_]] | None:
    """A schedule of some samples, [T, B, N] per block."""
    if masks is None:
        return None
    blocks = np.moveaxis(masks, 1, 0) if isinstance(masks, np.ndarray) else masks
    return [np.ascontiguousarray(np.moveaxis(block[samples], 0, 1)) for block in blocks]


def _run_batch(
    model: SpikingNetwork, inputs: NDArray[Any], masks: list[NDArray[np.bool_]] | None, record: bool, device: str
) -> FloatRun:
    import torch

    from pumice.models.layouts import channel_first

    dtype = next(model.parameters()).dtype
    x = torch.from_numpy(np.asarray(inputs, np.float64)).to(device, dtype)
    given = None if masks is None else tuple(torch.from_numpy(mask).to(device) for mask in masks)
    with torch.no_grad():
        trace = model.trace(x, given)
    recorded = channel_first(model, trace) if record else {}
    spikes = {name: layer.to(torch.uint8).cpu().numpy() for name, layer in recorded.items()}
    logits = trace.logits.double().cpu().numpy()
    return FloatRun(logits, spikes, tuple(m.cpu().numpy() for m in trace.masks), device)
