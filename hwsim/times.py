"""The times of a profile: nanoseconds beside its picojoules. A number that nobody published is null, and stays unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pumice.hwsim.data_files import parse_toml, shipped_text
from pumice.hwsim.energy import TERMS, check_profile


@dataclass(frozen=True)
class Times:
    """Nanoseconds per counted thing by a profile; None where unpublished.

    ns: per term of energy, `message` being one sent, and per `message_in`, one received. barrier: (tiles in use, ns), ascending.
    line: between those a straight line holds, else the entry before.
    """

    name: str
    title: str
    ns: Mapping[str, float | None]
    barrier: tuple[tuple[int, float], ...]
    line: bool

    def barrier_ns(self, tiles: int, chips: int) -> float | None:
        """The barrier of a step, None where it is unpublished: of several chips, or of more tiles than were told."""
        if not self.barrier or chips > 1 or tiles > self.barrier[-1][0]:
            return None
        if self.line:
            known, ns = zip(*self.barrier, strict=True)
            return float(np.interp(tiles, known, ns))
        return [ns for least, ns in self.barrier if least <= tiles][-1]


def load_times(name: str) -> Times:
    """The times of a shipped profile. Raises InputError for an unknown name."""
    check_profile(name)
    table = parse_toml(shipped_text("profiles", name))
    barrier: Mapping[str, Any] = table["barrier"]
    entries = tuple((int(tiles), float(ns)) for tiles, ns in barrier.get("ns_by_tiles", ()))
    ns = {term: table[term].get("ns") for term in (*TERMS, "message_in")}
    return Times(name, str(table["title"]), ns, entries, barrier.get("between") == "line")
