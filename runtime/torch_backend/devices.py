"""Where the `torch` backend computes, and what keeps its products exact there. Torch is imported only when asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice.errors import BackendUnavailable, InputError
from pumice.runtime.lava_backend import installed

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")
CPU_BYTES = 1 << 25  # of values held at once on a CPU: what does not leave its caches far behind runs faster
GPU_SHARE = 0.6  # of a GPU's free memory


def check_torch() -> None:
    """Raises BackendUnavailable where torch is not installed."""
    if not installed("torch"):
        raise BackendUnavailable(
            "the torch backend needs PyTorch, which is not installed here", "pip install 'pumice[torch]'"
        )


def choose_device(name: str) -> torch.device:
    """The device called "cpu", "cuda" or "cuda:1"; "auto": a GPU where there is one. Raises InputError for any other, and for one
    that is not here; BackendUnavailable without torch."""
    check_torch()
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise InputError(f"--device: unknown device {name!r}", f"known: {', '.join(DEVICES)}, cuda:NUMBER")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {name}: torch sees {torch.cuda.device_count()} GPUs here", "use --device cpu")
    return device


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Within it a product of float32 matrices is one of float32: no TF32, no bfloat16 and no autocast round the operands,
    whatever the caller has allowed; that is restored afterwards. Nothing is recorded for gradients."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def memory_for_values(device: torch.device) -> int:
    """Bytes that the values of a batch may take."""
    import torch

    if device.type == "cpu":
        return CPU_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, free again
    return int((free + unused) * GPU_SHARE)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that the device, or this machine, has no memory left."""
    import torch

    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch's word for it on a CPU


def release(device: torch.device) -> None:
    """Gives memory that torch holds for later use back to the device."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
