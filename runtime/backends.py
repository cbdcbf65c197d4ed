"""The integer backends by name."""

from __future__ import annotations

from pumice.errors import BackendUnavailable, InputError
from pumice.progress import Progress, no_progress
from pumice.runtime.per_core.run import PerCore
from pumice.runtime.reference import Reference
from pumice.runtime.result import Backend

BACKENDS = ("reference", "fast", "torch", "lava", "loihi2")
DEFAULT_BACKEND = "fast"  # where numba is installed; `reference` gives the same bits


def make_backend(name: str, progress: Progress = no_progress, per_core: bool = False, device: str = "auto") -> Backend:
    """A backend; `progress` is told how far a run is. per_core: as the program is mapped, each core from what reaches it. Raises
    InputError for an unknown name, or one that does not run core by core; a backend whose package is missing says so when it
    runs."""
    if per_core and name == "loihi2":
        raise InputError("--per-core: the loihi2 backend leaves cores to Lava", "use --backend reference or lava")
    if per_core and name in ("fast", "torch"):
        raise InputError(f"--per-core: the {name} backend runs programs as a whole", "use --backend reference or lava")
    if device != "auto" and name != "torch" and name in BACKENDS:
        raise InputError(f"--device {device}: the {name} backend takes none", "leave it out, or use --backend torch")
    if name == "reference":
        return PerCore(progress) if per_core else Reference(progress=progress)
    if name == "fast":
        return _fast(progress)
    if name == "lava":
        from pumice.runtime.lava_backend import LavaBackend

        return LavaBackend(progress=progress, per_core=per_core)
    if name == "loihi2":
        from pumice.runtime.loihi2_backend import Loihi2Backend

        return Loihi2Backend()
    if name == "torch":
        from pumice.runtime.torch_backend.backend import TorchBackend

        return TorchBackend(device, progress=progress)
    raise InputError(f"unknown backend {name!r}", f"known: {', '.join(BACKENDS)}, float")


def _fast(progress: Progress) -> Backend:
    """Raises BackendUnavailable without numba."""
    try:
        from pumice.runtime.fast.backend import Fast
    except ImportError as error:
        raise BackendUnavailable("the fast backend needs numba", "pip install 'pumice[fast]'") from error
    return Fast(progress=progress)
