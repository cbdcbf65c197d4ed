"""Time and peak memory of a compilation, stage by stage: `python bench/paper_scale.py NAME …`, a paper's network or a zoo model.

From the model to spike rates; partition and placement are not in it.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import balanced, quantize
from pumice.compiler.spike_rates import measure_rates
from pumice.hwsim.spec import load_chip
from pumice.runtime.model_sources import network_and_samples


def main(names: list[str]) -> None:
    """One line per model and stage: seconds, those of all cores together, and the most memory that the process has had so far."""
    for name in names:
        _compile(name)


def _compile(name: str) -> None:
    chip, options = load_chip("loihi2"), CompileOptions()
    with _stage(name, "model, NIR"):
        source = network_and_samples(name)
    marks = [("", time.perf_counter())]
    with _stage(name, "to integers"):
        quantized = quantize(
            source.network, source.samples, chip, options, lambda at, _: marks.append((at, time.perf_counter()))
        )
    for (_, before), (at, after) in pairwise(marks):
        print(f"{name:20}    {at:24}{after - before:8.1f} s")
    with _stage(name, "to balanced"):
        graph = balanced(quantized, chip, options)
    with _stage(name, "rates"):
        rates = measure_rates(graph, source.samples)
    print(f"{name:20} {sum(float(rate.sum()) for rate in rates.values()):,.0f} messages a sample")


@contextmanager
def _stage(name: str, stage: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{name:20} {stage:27}{wall:8.1f} s   CPU {cpu:6.1f} s   peak {peak:5.2f} GiB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
