"""The `float` backend: the original torch model, on a GPU if there is one. The reference that programs are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pumice.errors import BackendUnavailable, InputError

if TYPE_CHECKING:
    from pumice.models.spikformer import Spikformer

BATCH = 64


@dataclass(frozen=True, eq=False)
class FloatRun:
    """logits [B, K]; spikes per LIF layer, [T, B, C, …] as programs have them (tokens last); masks per block [T, B, N]."""

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
    model: Spikformer, inputs: NDArray[Any], masks: NDArray[np.bool_] | None = None, record: bool = True
) -> FloatRun:
    """The model on samples [B, C, H, W]. masks: a routing schedule [B, blocks, T, N] that replaces scoring."""
    device = torch_device()
    model = model.to(device)
    parts = [
        _run_batch(model, inputs[k : k + BATCH], None if masks is None else masks[k : k + BATCH], record, device)
        for k in range(0, len(inputs), BATCH)
    ]
    if not parts:
        raise InputError("no samples to run", "give an array of at least one sample")
    return FloatRun(
        np.concatenate([p.logits for p in parts]),
        {name: np.concatenate([p.spikes[name] for p in parts], axis=1) for name in parts[0].spikes},
        tuple(np.concatenate(block, axis=1) for block in zip(*(p.masks for p in parts), strict=True)),
        device,
    )


def _run_batch(
    model: Spikformer, inputs: NDArray[Any], masks: NDArray[np.bool_] | None, record: bool, device: str
) -> FloatRun:
    import torch

    x = torch.from_numpy(np.asarray(inputs, np.float32)).to(device)
    given = None if masks is None else tuple(torch.from_numpy(m.copy()).to(device) for m in np.moveaxis(masks, 0, 2))
    with torch.no_grad():
        trace = model.trace(x, given)
    spikes = {name: _channels_first(s.cpu().numpy()) for name, s in trace.spikes.items()} if record else {}
    logits = trace.logits.double().cpu().numpy()
    return FloatRun(logits, spikes, tuple(m.cpu().numpy() for m in trace.masks), device)


def _channels_first(spikes: NDArray[Any]) -> NDArray[np.uint8]:
    """Tokens [T, B, N, C] as [T, B, C, N]; feature maps [T, B, C, H, W] as they are."""
    return np.asarray(np.swapaxes(spikes, 2, 3) if spikes.ndim == 4 else spikes, np.uint8)
