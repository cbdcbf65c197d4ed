"""The integer backends by name."""

from __future__ import annotations

from pumice.errors import InputError
from pumice.runtime.reference import Reference
from pumice.runtime.result import Backend

BACKENDS = ("reference", "lava", "loihi2")


def make_backend(name: str) -> Backend:
    """A backend. Raises InputError for an unknown name; a backend whose package is missing says so when it runs."""
    if name == "reference":
        return Reference()
    if name == "lava":
        from pumice.runtime.lava_backend import LavaBackend

        return LavaBackend()
    if name == "loihi2":
        from pumice.runtime.loihi2_backend import Loihi2Backend

        return Loihi2Backend()
    raise InputError(f"unknown backend {name!r}", f"known: {', '.join(BACKENDS)}, float")
