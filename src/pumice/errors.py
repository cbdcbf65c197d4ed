"""The errors Pumice raises for its users: one line each, what is wrong, where, used/limit, what to do.

Every part may import this module; it imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass


class PumiceError(Exception):
    """Base of every error that is the user's to mend. `hint` says what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InputError(PumiceError):
    """A file, array or option that cannot be used as given."""


class UnsupportedNode(PumiceError):
    """A NIR node, or an attribute of one, that has no meaning in Pumice."""


class VerifyError(PumiceError):
    """A graph broke the rules of its stage. The message lists every violation."""


@dataclass(frozen=True)
class Violation:
    """A limit that is exceeded: what, how much of how much, where."""

    resource: str
    used: int
    limit: int
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.resource} {self.used:,}/{self.limit:,}"


class DoesNotFit(PumiceError):
    """A network needs more of a resource than the chip has; `violations` are all that were found, the first one first."""

    def __init__(
        self, resource: str, used: int, limit: int, where: str, smallest_split: str, further: tuple[Violation, ...] = ()
    ) -> None:
        self.violations = (Violation(resource, used, limit, where), *further)
        super().__init__("; ".join(map(str, self.violations)), hint=smallest_split)
        self.resource = resource
        self.used = used
        self.limit = limit
        self.where = where
        self.smallest_split = smallest_split


class ArtifactError(PumiceError):
    """A .pumice file that is truncated, foreign, of another format version, or inconsistent."""


class BackendUnavailable(PumiceError):
    """A backend whose package or hardware is not here. The hint says what to install."""


class RunError(PumiceError):
    """A run that failed: a dead or raising worker, a watchdog that ran out."""
