"""All of NIR 1.0 as nodes of the float IR, with a reading for what NIR leaves open."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.compiler import general_nodes as g
from pumice.compiler.dialect import Extension
from pumice.compiler.importing.neurons import NEURONS, Read, read_neuron
from pumice.compiler.importing.nodes import Site, check_numbers, import_standard, is_identity
from pumice.compiler.importing.readings import Reading
from pumice.compiler.importing.repairs import fitted, note
from pumice.compiler.importing.said import reading_of
from pumice.compiler.importing.windows import read_conv, read_pool
from pumice.compiler.ir import Change
from pumice.errors import InputError, UnsupportedNode

MOST_STEPS = 1 << 20


def read_node(node: Any, entry: Extension | None, site: Site, reading: Reading) -> Read:
    """The float node of a standard NIR node, and what was assumed or mended."""
    _check_parameters(node, site)
    reading = reading_of(entry.attributes if entry else {}, reading, site)
    match node:
        case nir.Input() | nir.Flatten():
            return import_standard(_checked(node, site), entry, site), []
        case nir.Conv1d() | nir.Conv2d():
            return read_conv(node, site)
        case nir.SumPool2d() | nir.AvgPool2d():
            return read_pool(node, site), []
        case nir.Affine() | nir.Linear():
            return _read_linear(node, entry, site)
        case nir.Scale():
            return _read_scale(node, entry, site)
        case nir.Threshold():
            changes: list[Change] = []
            threshold = fitted(node.threshold, site, "threshold", changes)
            made = g.Threshold(site.name, site.inputs, site.out(), site.name, threshold, reading.comparator)
            return made, changes
        case nir.Delay():
            changes = []
            steps = delay_steps(node, site, reading, changes)
            return g.Delay(site.name, site.inputs, site.out(), site.name, steps), changes
        case _ if isinstance(node, NEURONS):
            return read_neuron(node, reading, site)
        case _:
            raise UnsupportedNode(f"node {site.name!r}: {type(node).__name__} is no NIR 1.0 primitive", "")


def delay_steps(node: nir.Delay, site: Site, reading: Reading, changes: list[Change]) -> NDArray[np.int64]:
    """A delay in whole timesteps, of the layer's shape."""
    seconds = fitted(node.delay, site, "delay", changes)
    exact = seconds / reading.dt
    steps = np.rint(exact)
    if np.any(steps < 0) or np.any(steps > MOST_STEPS):
        raise InputError(
            f"node {site.name!r}: a delay of {exact.min():g} to {exact.max():g} timesteps of {reading.dt:g} s",
            f"delays are 0 to {MOST_STEPS} timesteps",
        )
    off = float(np.abs(exact - steps).max(initial=0))
    if off > 1e-3:
        changes.append(note(site, f"repaired: delay rounded to timesteps, by up to {off:.3g} of one", repaired=True))
    return np.asarray(steps, np.int64)


def _check_parameters(node: Any, site: Site) -> None:
    """As `check_numbers`, for single numbers too."""
    skipped = ("metadata", "input_type", "output_type", "padding", "nodes", "edges")
    values = {k: np.asarray(v) for k, v in vars(node).items() if k not in skipped and v is not None}
    check_numbers(values, site)


def _checked(node: Any, site: Site) -> Any:
    """A Flatten whose axes exist."""
    if isinstance(node, nir.Flatten):
        rank = len(site.shapes[0])
        start, end = (int(n) + (rank if int(n) < 0 else 0) for n in (node.start_dim, node.end_dim))
        if not 0 <= start <= end < rank:
            raise InputError(
                f"node {site.name!r}: flattens axes {int(node.start_dim)} to {int(node.end_dim)} of {site.shapes[0]}",
                "NIR counts axes without the batch",
            )
    return node


def _read_linear(node: Any, entry: Extension | None, site: Site) -> Read:
    weight, shape = np.asarray(node.weight), site.shapes[0]
    if weight.ndim < 2 or not shape or shape[-1] != weight.shape[-1] or weight.shape[:-2] not in ((), shape[:-1]):
        raise InputError(
            f"node {site.name!r}: weight {weight.shape} does not fit its input {shape}",
            "weight [O, I] takes I values; is a Flatten missing before it?",
        )
    out = (*shape[:-1], weight.shape[-2])
    bias = np.zeros(weight.shape[-2])
    if isinstance(node, nir.Affine) and node.bias is not None:
        bias = np.asarray(node.bias)
    if bias.shape not in (out, out[-1:]):
        raise InputError(f"node {site.name!r}: bias {bias.shape} for {out}", "one a row of the weight")
    if len(shape) == 1:
        return import_standard(node, entry, site), []
    changes = []
    if weight.ndim == 2:
        changes = [note(site, f"repaired: applied along the last axis of {shape}", repaired=True)]
    return g.LinearMap(site.name, site.inputs, site.out(out), site.name, weight, bias), changes


def _read_scale(node: nir.Scale, entry: Extension | None, site: Site) -> Read:
    if is_identity(node):
        return import_standard(node, entry, site), []
    changes: list[Change] = []
    scale = fitted(node.scale, site, "scale", changes)
    return g.Scale(site.name, site.inputs, site.out(), site.name, scale), changes
