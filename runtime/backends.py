"""The integer backends by name."""

from __future__ import annotations

from pumice.errors import InputError
from pumice.progress import Progress, no_progress
from pumice.runtime.reference import Reference
from pumice.runtime.result import Backend

BACKENDS = ("reference", "lava", "loihi2")


def make_backend(name: str, progress: Progress = no_progress) -> Backend:
    """A backend; `progress` is told how far a run is. Raises InputError for an unknown name; a backend whose package is
    missing says so when it runs."""
    if name == "reference":
        return Reference(progress=progress)
    if name == "lava":
        from pumice.runtime.lava_backend import LavaBackend

        return LavaBackend(progress=progress)
    if name == "loihi2":
        from pumice.runtime.loihi2_backend import Loihi2Backend

        return Loihi2Backend()
    raise InputError(f"unknown backend {name!r}", f"known: {', '.join(BACKENDS)}, float")
