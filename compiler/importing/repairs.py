"""What the importer mends in a NIR node, and how it says so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.importing.nodes import Site
from pumice.compiler.ir import Change, Shape
from pumice.errors import InputError


def note(site: Site, text: str, repaired: bool = False) -> Change:
    """A line of the import's report about one node."""
    return Change("import-nir", site.name, f"{site.name}: {text}", {"repaired": repaired})


def fitted(value: Any, site: Site, field: str, changes: list[Change]) -> NDArray[np.float64]:
    """A parameter as float64 in the shape of the layer, mended where NIR's type check gives up: one number for all, one for each
    channel, or a shape with ones in it. Raises InputError where it is none of these."""
    array, shape = np.asarray(value, np.float64), site.shapes[0]
    if array.shape == shape:
        return array
    wide = _widened(array.shape, shape)
    if wide is None:
        raise InputError(
            f"node {site.name!r}: {field} has shape {array.shape}, its input {shape}",
            "give one value, one a channel, or one a neuron",
        )
    if not any(change.data.get("widened") == list(array.shape) for change in changes):
        kind = "one value" if array.size == 1 else f"{field} of {array.shape}"
        text = f"{site.name}: repaired: {kind} taken for all of {shape}"
        changes.append(Change("import-nir", site.name, text, {"repaired": True, "widened": list(array.shape)}))
    return np.broadcast_to(array.reshape(wide), shape)


def _widened(have: Shape, shape: Shape) -> Shape | None:
    """`have` with as many axes as `shape`, so that it broadcasts; None where it cannot."""
    if int(np.prod(have)) == 1:
        return (1,) * len(shape)
    while len(have) > len(shape) and have[0] == 1:  # an axis for the batch
        have = have[1:]
    if len(have) == 1 and len(shape) > 1 and have[0] == shape[0]:
        return (have[0], *(1,) * (len(shape) - 1))
    fits = len(have) == len(shape) and all(a in (1, b) for a, b in zip(have, shape, strict=True))
    return have if fits else None
