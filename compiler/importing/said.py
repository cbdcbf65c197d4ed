"""What a NIR node itself says of its meaning, in the Pumice dialect, in the words of a `Reading`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import nir

from pumice.compiler.dialect import Extension
from pumice.compiler.importing.nodes import Site
from pumice.compiler.importing.readings import NIR, Reading
from pumice.errors import InputError, UnsupportedNode

SAID = ("dt", "comparator", "reset")  # what the dialect says on a LIF
ALSO = ("reset_at", "spikes", "floor", "start")  # and on neurons that are more than one
RESETS = {"hard": "zero", "zero": "zero", "soft": "subtract", "subtract": "subtract"}
QUIET = (nir.I, nir.LI, nir.CubaLI, nir.Delay)  # neither fires nor resets
FIRING = (nir.IF, nir.LIF, nir.CubaLIF)
CLEAR = (nir.SumPool2d, nir.AvgPool2d, nir.Scale)  # mean the same by every reading


def reading_of(node_says: Mapping[str, Any], reading: Reading, site: Site) -> Reading:
    """`reading` with what the file itself says about a node in its place. A node that says all of it needs no reading."""
    said = {key: node_says[key] for key in (*SAID, *ALSO) if key in node_says}
    if "reset" in said:
        if said["reset"] not in RESETS:
            raise UnsupportedNode(f"node {site.name!r}: reset {said['reset']!r}", f"known: {', '.join(RESETS)}")
        said["reset"] = RESETS[said["reset"]]
    try:
        said |= {"dt": float(said["dt"])} if "dt" in said else {}
        return replace(NIR if all(key in said for key in SAID) else reading, **said)
    except (InputError, TypeError, ValueError) as error:
        raise UnsupportedNode(f"node {site.name!r}: {error}", "export it again") from error


def own_reading(node: Any, entry: Extension | None) -> Reading | None:
    """The reading of a file without one, at a node that leaves nothing open; None at the others."""
    if isinstance(node, CLEAR):
        return NIR
    if isinstance(node, QUIET):
        wanted: tuple[str, ...] = ("dt",)
    elif isinstance(node, nir.Threshold):
        wanted = ("comparator",)
    elif isinstance(node, FIRING):
        wanted = SAID
    else:
        return None
    said = entry.attributes if entry else {}
    return NIR if all(key in said for key in wanted) else None
