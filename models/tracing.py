"""Opening a forward pass: every neuron layer's spikes by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from pumice.models.multispike import MultiSpike
from pumice.models.neuron import LIF


@contextmanager
def recorded_spikes(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Spikes of every LIF, and levels of every MultiSpike, that runs inside the `with`, by module name."""
    spikes: dict[str, Tensor] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, LIF | MultiSpike):
            handles.append(module.register_forward_hook(_recorder(spikes, name)))
    try:
        yield spikes
    finally:
        for handle in handles:
            handle.remove()


def _recorder(spikes: dict[str, Tensor], name: str) -> Any:
    def record(module: nn.Module, inputs: Any, output: Tensor) -> None:
        # The level divided by a power of two and multiplied by it again is the level, exactly; other norms round.
        spikes[name] = (output * module.norm).round().detach() if isinstance(module, MultiSpike) else output.detach()

    return record
