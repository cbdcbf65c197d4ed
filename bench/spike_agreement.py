"""Spikes that integer programs share with the float network, per layer, by the weights they may have: decision 0016's tables.

python bench/spike_agreement.py cases                the exported networks of tests/data/nir_cases, on 32 random sequences
python bench/spike_agreement.py zoo [NAME …]         models of the zoo, on 40 validation digits, every token routed
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.evaluate import evaluate
from pumice.compiler.importing.nir_file import read_nir
from pumice.compiler.importing.readings import reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import Quantized, finish, quantize
from pumice.hwsim.spec import load_chip
from pumice.models.checkpoints import load_zoo
from pumice.models.nir.export import to_nir
from pumice.models.training.datasets import zoo_data
from pumice.runtime.reference import Reference

CASES = Path(__file__).parents[1] / "tests" / "data" / "nir_cases"
ZERO, SUBTRACT = {"reset": "zero"}, {"reset": "subtract"}
READINGS: Mapping[str, tuple[str, dict[str, str]]] = {
    "snntorch_conv_shaped_zero": ("snntorch", ZERO),
    "snntorch_conv_shaped_subtract": ("snntorch", SUBTRACT),
    "spikingjelly_conv_hard_decay": ("spikingjelly", ZERO),
    "spikingjelly_conv_hard_nodecay": ("spikingjelly", ZERO),
    "spikingjelly_conv_soft": ("spikingjelly", SUBTRACT),
}
WEIGHTS: tuple[dict[str, Any], ...] = (
    {"signs": "mixed", "synapses": 1},
    {"signs": "split", "synapses": 1},
    {"signs": "split", "synapses": 3},
)


def main() -> None:
    """Print a line for each network and choice of weights."""
    kind, *names = sys.argv[1:] or ["cases"]
    for name in names or (list(READINGS) if kind == "cases" else ["spikformer-digits", "sdt-v1-digits"]):
        for weights in WEIGHTS:
            line = case_line(name, weights) if kind == "cases" else zoo_line(name, weights)
            print(f"{name:32}{weights['signs']:>6} {weights['synapses']}  {line}", flush=True)


def case_line(name: str, weights: dict[str, Any]) -> str:
    """Calibrated on 16 random sequences of the stored input's rate, compared on 32 others."""
    framework, said = READINGS[name]
    x = np.load(CASES / f"{name}.npz")["input"]
    seen, unseen = (random_spikes(count, x, seed) for count, seed in ((16, 7), (32, 99)))
    options = CompileOptions(reading=reading(framework, **said), **weights)
    network = quantize(read_nir(CASES / f"{name}.nir"), seen, load_chip("loihi2"), options)
    return compared(network, options, unseen)


def zoo_line(name: str, weights: dict[str, Any]) -> str:
    """Calibrated as the demo is; seconds are those of quantization on this machine."""
    data, options = zoo_data(name), CompileOptions(masks="off", **weights)
    graph, calibration = to_nir(load_zoo(name)), np.asarray(data.calibration.inputs)
    start = time.process_time()
    network = quantize(graph, calibration, load_chip("loihi2"), options)
    seconds = time.process_time() - start
    return f"{compared(network, options, np.asarray(data.validation.inputs)[:40])}, {seconds:.1f} CPU s"


def random_spikes(count: int, like: NDArray[Any], seed: int) -> NDArray[np.float64]:
    """Samples of the shape and rate of one."""
    return (np.random.default_rng(seed).random((count, *like.shape)) < like.mean()).astype(np.float64)


def compared(network: Quantized, options: CompileOptions, samples: NDArray[Any]) -> str:
    """Percent of equal spikes by layer (of more than five layers the worst, and all), and synaptic operations a sample."""
    wanted = evaluate(network.folded, samples, gated=False).values
    run = Reference().run(finish(network, load_chip("loihi2"), options), samples, record=True)
    found = {name: (sent == wanted[name].reshape(sent.shape)) for name, sent in run.spikes.items() if name in wanted}
    each = [100 * float(equal.mean()) for equal in found.values()]
    every = 100 * float(np.concatenate([equal.ravel() for equal in found.values()]).mean())
    shown = " ".join(f"{one:.2f}" for one in each) if len(each) <= 5 else f"worst {min(each):.2f}"
    assert run.counts is not None
    return f"{shown}, all {every:.2f} %, {run.counts.per_sample('synops'):,.0f} synaptic operations"


if __name__ == "__main__":
    main()
