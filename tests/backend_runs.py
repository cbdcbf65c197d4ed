"""The quick backends beside `reference`: everything that a run gives has to be equal."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pumice.compiler.program import Program
from pumice.hwsim.counters import COUNT_FIELDS, CountTable
from pumice.runtime.fast.backend import Fast
from pumice.runtime.reference import Reference
from pumice.runtime.result import Backend, RunResult
from pumice.runtime.torch_backend.backend import TorchBackend

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
DEVICES = ("cpu", pytest.param("cuda", marks=NO_GPU))
ENGINES = ("fast", "torch-cpu", pytest.param("torch-cuda", marks=NO_GPU))


def backend_of(engine: str, batch: int = 0) -> Backend:
    """A backend of `ENGINES`. batch: samples at once on torch; `fast` cuts them for two threads."""
    return Fast(threads=2) if engine == "fast" else TorchBackend(engine.removeprefix("torch-"), batch=batch)


def assert_equal_to_reference(
    program: Program, x: NDArray[Any], backend: Backend, masks: NDArray[np.bool_] | None = None
) -> RunResult:
    """Outputs, logits, every recorded array, masks, named outputs and all counts, bit for bit; returns the reference's run."""
    reference = Reference().run(program, x, masks, record=True)
    assert_same_run(backend.run(program, x, masks, record=True), reference)
    if isinstance(backend, Fast) and backend.counts:  # which computes some layers otherwise where nobody counts
        assert_same_values(replace(backend, counts=False).run(program, x, masks, record=True), reference)
    return reference


def assert_same_run(found: RunResult, reference: RunResult) -> None:
    """See `assert_equal_to_reference`."""
    assert_same_values(found, reference)
    assert_same_counts(found.counts, reference.counts)


def assert_same_values(found: RunResult, reference: RunResult) -> None:
    """All but the counts."""
    for one, other in [(found.outputs, reference.outputs), (found.logits, reference.logits)]:
        assert_same_array(one, other, "outputs")
    for kind in ("spikes", "masks", "named"):
        one, other = getattr(found, kind), getattr(reference, kind)
        assert one.keys() == other.keys()
        for name in other:
            assert_same_array(one[name], other[name], name)


def assert_same_array(one: NDArray[Any], other: NDArray[Any], what: str) -> None:
    assert one.dtype == other.dtype, what
    assert np.array_equal(one, other), what


def assert_same_counts(one: CountTable | None, other: CountTable | None) -> None:
    """Every count of every row, and who sent the messages."""
    assert one is not None
    assert other is not None
    for row, same in zip(one.rows, other.rows, strict=True):
        assert (row.layer, row.core, row.synapse_kind) == (same.layer, same.core, same.synapse_kind)
        for name in COUNT_FIELDS:
            assert np.array_equal(getattr(row, name), getattr(same, name)), (row.layer, name)
    for name in ("samples", "timesteps", "mask_bits", "score_operations"):
        assert getattr(one, name) == getattr(other, name)
    for field in fields(other.flows):
        assert np.array_equal(np.asarray(getattr(one.flows, field.name)), np.asarray(getattr(other.flows, field.name)))
