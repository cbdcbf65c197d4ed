"""Images a second of the `torch` backend beside the float model in PyTorch, on one device, and whether the integers are exact.

python bench/gpu.py [--json F] [--program F.pumice] [--model NAME] [--batch N] [--device cuda]

The float model runs as a user would run it: eval, no gradients, float32, torch's own settings, whole batches on the device.
The program runs whole batches from numpy and back; what the way to the device takes is in both. Repeats are interleaved.
--program spares the compilation; it has to be that of the model. Without such a device nothing is measured: exit code 2.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pumice.compiler.artifact import read_artifact, write_artifact
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import PumiceError
from pumice.files import write_atomically
from pumice.hwsim.spec import load_chip
from pumice.models.checkpoints import load_zoo, zoo_names
from pumice.models.network import SpikingNetwork
from pumice.models.paper_models import paper_model
from pumice.runtime.model_sources import network_and_samples
from pumice.runtime.reference import Reference
from pumice.runtime.torch_backend.devices import choose_device
from pumice.runtime.torch_backend.prepared import Prepared, prepare

Images = NDArray[Any]


def main(words: list[str]) -> int:
    """Prints what was measured, a line for each engine."""
    given = arguments(words)
    try:
        device = choose_device(given.device)
    except PumiceError as error:
        print(f"nothing was measured: {error}")
        return 2
    program, images = program_of(given), samples_of(given.model, given.batch)
    found = measured(prepare(program, device), model_of(given.model), images, given)
    for name in ("torch", "torch, counted", "float"):
        rate = found["images_per_s"][name]
        print(f"{name:16}{rate['median']:10.1f} images/s ({rate['min']:.1f} to {rate['max']:.1f})")
    print(f"torch over float {found['torch_over_float']['median']:.2f}; {found['exactness']}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(given.json, (json.dumps(found, indent=2) + "\n").encode())
    return 0 if found["equal_to_reference"] else 1


def arguments(words: list[str]) -> Namespace:
    """The command line's options."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="sdt-v1-8-512", help="a paper's network or a zoo model")
    parser.add_argument("--program", type=Path, help="a .pumice artifact of it; written there if it does not exist")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--checked", type=int, default=2, help="images that `reference` runs too")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(words)


def program_of(given: Namespace) -> Program:
    """The stored program, or the model compiled for loihi2, every token routed."""
    if given.program is not None and given.program.exists():
        return read_artifact(given.program)
    source = network_and_samples(given.model)
    program = compile_nir(source.network, source.samples[:8], load_chip("loihi2"), CompileOptions(masks="off"))
    if given.program is not None:
        write_artifact(program, given.program)
    return program


def model_of(name: str) -> SpikingNetwork:
    """The float model, in eval mode."""
    return load_zoo(name) if name in zoo_names() else paper_model(name)


def samples_of(name: str, count: int) -> Images:
    """A batch of images."""
    if name in zoo_names():
        samples = network_and_samples(name).samples
        return np.resize(samples, (count, *samples.shape[1:]))
    from pumice.models.paper_models import paper_samples

    return paper_samples(name, count)


def measured(ready: Prepared, model: SpikingNetwork, images: Images, given: Namespace) -> dict[str, Any]:
    """Rates, memory, and the comparison with `reference`."""
    device = ready.network.device
    model = model.to(device=device, dtype=torch.float32).eval()
    engines: dict[str, Callable[[], object]] = {
        "torch": lambda: ready.run(images, counts=False, batch=given.batch),
        "torch, counted": lambda: ready.run(images, batch=given.batch),
        "float": lambda: run_float(model, images, device),
    }
    peaks = {name: peak_bytes(run, device) for name, run in engines.items()}  # the first run warms up, too
    seconds = interleaved(engines, given.repeats, device)
    rates = {name: [len(images) / s for s in taken] for name, taken in seconds.items()}
    ratios = [a / b for a, b in zip(rates["torch"], rates["float"], strict=True)]
    equal = equal_to_reference(ready, images[: given.checked])
    return {
        "model": given.model,
        "device": device_name(device),
        "torch_version": torch.__version__,
        "batch": given.batch,
        "image_shape": list(images.shape[1:]),
        "repeats": given.repeats,
        "images_per_s": {name: spread(found) for name, found in rates.items()},
        "torch_over_float": spread(ratios),
        "peak_device_bytes": peaks,
        "equal_to_reference": equal,
        "exactness": f"{given.checked} images are {'' if equal else 'NOT '}equal to reference in every spike",
        "float_settings": {
            "matmul_precision": torch.get_float32_matmul_precision(),
            "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
        },
    }


def run_float(model: SpikingNetwork, images: Images, device: torch.device) -> NDArray[Any]:
    """Logits of one batch."""
    with torch.no_grad():
        logits: NDArray[Any] = model(torch.from_numpy(np.asarray(images, np.float32)).to(device)).cpu().numpy()
    return logits


def interleaved(engines: dict[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each run, all engines in turn, again and again."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(repeats):
        for name, run in engines.items():
            wait(device)
            began = time.perf_counter()
            run()
            wait(device)
            taken[name].append(time.perf_counter() - began)
    return taken


def peak_bytes(run: Callable[[], object], device: torch.device) -> int | None:
    """The most device memory that is allocated during a run, the weights of both engines included; None on a CPU, which keeps no
    account of it."""
    if device.type == "cpu":
        run()
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    run()
    wait(device)
    return torch.cuda.max_memory_allocated(device)


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def equal_to_reference(ready: Prepared, images: Images) -> bool:
    """Whether outputs and every recorded spike are those of `reference`."""
    found = ready.run(images, record=True, counts=False)
    wanted = Reference(counts=False).run(ready.program, images, record=True)
    same = [np.array_equal(found.spikes[name], spikes) for name, spikes in wanted.spikes.items()]
    return found.spikes.keys() == wanted.spikes.keys() and all(same) and np.array_equal(found.outputs, wanted.outputs)


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"


def spread(values: list[float]) -> dict[str, float]:
    """The least, the median and the most."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
