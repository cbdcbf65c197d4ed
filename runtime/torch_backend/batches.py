"""How many samples run at once: as many as the device's memory holds, half as many whenever it turns out not to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from pumice.compiler.loops import parts
from pumice.compiler.walk import last_readers
from pumice.errors import RunError
from pumice.runtime.torch_backend.devices import is_out_of_memory, memory_for_values, release
from pumice.runtime.torch_backend.network import Loaded

Made = TypeVar("Made")
MOST = 256  # samples at once: beyond it nothing is gained
WORK = 16  # bytes of intermediate results for each value of the node at work


def batch_size(network: Loaded) -> int:
    """Samples that fit on the device together, by an estimate."""
    return max(1, min(MOST, memory_for_values(network.device) // max(1, bytes_per_sample(network))))


def bytes_per_sample(network: Loaded) -> int:
    """The most that a sample's values, freed after their last readers, take at once, with room to work in."""
    graph, order = network.graph, parts(network.graph)
    last, alive, most = last_readers(order), dict[str, int](), 0
    for at, part in enumerate(order):
        values = {node.name: graph.timesteps * math.prod(node.out.shape) for node in part}
        alive |= {name: count * network.types[name].itemsize for name, count in values.items()}
        most = max(most, sum(alive.values()) + WORK * sum(values.values()))
        alive = {name: size for name, size in alive.items() if last[name] > at}
    return most


def in_batches(
    samples: int, size: int, device: torch.device, run: Callable[[slice], Made]
) -> Iterator[tuple[slice, Made]]:
    """What `run` makes of samples, `size` at once; half as many from where memory does not hold them. Raises RunError where
    it does not hold one."""
    start = 0
    while start < samples:
        batch = slice(start, min(start + size, samples))
        made = _attempt(run, batch)
        if made is not None:
            yield batch, made[0]
            start = batch.stop
            continue
        release(device)
        if batch.stop - start == 1:
            raise RunError(f"one sample alone does not fit into the memory of {device}", "use --backend reference")
        size = (batch.stop - start) // 2


def _attempt(run: Callable[[slice], Made], batch: slice) -> tuple[Made] | None:
    """None where memory runs out. The error, which holds what the run had made, is gone once this returns."""
    try:
        return (run(batch),)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None
