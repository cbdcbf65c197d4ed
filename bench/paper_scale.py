"""Time and peak memory of a compilation, stage by stage: `python bench/paper_scale.py NAME …`, a paper's network or a zoo model.

From the model to the mapped program on loihi2, or on another chip: `python bench/paper_scale.py --chip CHIP NAME …`.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from pumice.compiler.mapping.mapper import map_network
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import RATE_SAMPLES, balanced, quantize
from pumice.compiler.program import Program
from pumice.hwsim.spec import ChipSpec, load_chip
from pumice.runtime.fast.rates import measure_rates
from pumice.runtime.model_sources import network_and_samples
from pumice.runtime.report import core_utilisation


def main(names: list[str]) -> None:
    """One line per model and stage: seconds, those of all cores together, and the most memory that the process has had so far."""
    chip = load_chip(names[1] if names[:1] == ["--chip"] else "loihi2")
    for name in names[2:] if names[:1] == ["--chip"] else names:
        _compile(name, chip)


def _compile(name: str, chip: ChipSpec) -> None:
    options, began = CompileOptions(), time.perf_counter()
    with _stage(name, "model, NIR"):
        source = network_and_samples(name)
    compiling = time.perf_counter()
    marks = [("", compiling)]
    with _stage(name, "to integers"):
        quantized = quantize(
            source.network, source.samples, chip, options, lambda at, _: marks.append((at, time.perf_counter()))
        )
    for (_, before), (at, after) in pairwise(marks):
        print(f"{name:20}    {at:24}{after - before:8.1f} s")
    with _stage(name, "to balanced"):
        graph = balanced(quantized, chip, options)
    with _stage(name, "rates"):
        rates = measure_rates(graph, source.samples[:RATE_SAMPLES])
    with _stage(name, "mapped"):
        mapped = map_network(graph, chip, rates)
    use = core_utilisation(Program(graph, mapped.mapping, chip, options))
    shares = ", ".join(f"{resource} {share:.1%}" for resource, share in use.items())
    words = max(sum(part.words for part in core) for core in mapped.mapping.cores)
    print(f"{name:20} {len(mapped.mapping.cores):,} cores on {mapped.mapping.chips} chips; mean use: {shares}")
    print(
        f"{name:20} largest core {words * 8 / 1024:,.0f} KiB of weights; spike hops {mapped.score.spike_hops:,.0f} a sample"
    )
    ended = time.perf_counter()
    print(f"{name:20} compiled in {ended - compiling:.1f} s, with the model {ended - began:.1f} s")


@contextmanager
def _stage(name: str, stage: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{name:20} {stage:27}{wall:8.1f} s   CPU {cpu:6.1f} s   peak {peak:5.2f} GiB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
