"""What the torch backend alone has: devices, memory, torch's own settings. `test_exact_backends` has the networks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backend_runs import DEVICES, assert_equal_to_reference
from mapped import on_cores
from networks import TinySpikformer, images
from one_node import SAMPLES, STEPS, graph_of, of
from stream_networks import every_node
from stream_networks import samples as stream_samples
from stream_networks import schedule as stream_schedule

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import write_artifact
from pumice.compiler.program import Program
from pumice.compiler.walk import stateless
from pumice.errors import InputError, RunError
from pumice.hwsim.spec import load_chip
from pumice.runtime.backends import make_backend
from pumice.runtime.cli import main
from pumice.runtime.reference import Reference
from pumice.runtime.torch_backend import batches, neurons, synapses
from pumice.runtime.torch_backend.backend import TorchBackend
from pumice.runtime.torch_backend.devices import exact_products, is_out_of_memory
from pumice.runtime.torch_backend.network import load
from pumice.runtime.torch_backend.values import to_device
from pumice.runtime.torch_backend.walk import Walk

LIVE = TinySpikformer(pool=True, size=6, retention=0.6)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@cache
def streams() -> Program:
    return every_node()


def test_windows_of_a_convolution_come_in_any_portions(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(synapses, "PATCH_BYTES", {"cpu": 1, "cuda": 1})
    assert_equal_to_reference(streams(), stream_samples(5), TorchBackend(device), stream_schedule(5))


def test_a_batch_beyond_memory_is_halved_until_it_fits(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    walked: list[int] = []
    monkeypatch.setattr("pumice.runtime.torch_backend.prepared.Walk", short_of_memory(3, walked))
    assert_equal_to_reference(streams(), stream_samples(7), TorchBackend(device, batch=7), stream_schedule(7))
    assert walked == [7, 3, 3, 1]


def test_a_sample_that_alone_does_not_fit_ends_the_run_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pumice.runtime.torch_backend.prepared.Walk", short_of_memory(0, []))
    with pytest.raises(RunError, match=r"^one sample alone does not fit into the memory of cpu$"):
        TorchBackend("cpu").run(streams(), stream_samples(3), stream_schedule(3))


def short_of_memory(most: int, walked: list[int]) -> Callable[..., Any]:
    """A walk on a device that holds so many samples and no more."""

    def begin(network: Any, frames: torch.Tensor, *rest: Any) -> Any:
        walked.append(frames.shape[1])
        if frames.shape[1] > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return Walk(network, frames, *rest)

    return begin


def test_a_lack_of_memory_on_a_cpu_is_known_by_torch_s_own_error() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("something else"))


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr("pumice.runtime.torch_backend.prepared.Walk", broken)
    with pytest.raises(RuntimeError, match="something else"):
        TorchBackend("cpu").run(streams(), stream_samples(3), stream_schedule(3))


def test_a_larger_network_runs_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(streams().graph, torch.device("cpu"))
    need = batches.bytes_per_sample(loaded)
    assert need > sum(np.prod(node.out.shape) for node in loaded.graph.nodes.values()) / 4
    monkeypatch.setattr("pumice.runtime.torch_backend.batches.memory_for_values", lambda _: 5 * need)
    assert batches.batch_size(loaded) == 5
    monkeypatch.setattr("pumice.runtime.torch_backend.batches.memory_for_values", lambda _: 0)
    assert batches.batch_size(loaded) == 1


def test_what_the_caller_allows_torch_to_round_changes_nothing_and_is_restored(device: str) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast(device, dtype=torch.bfloat16):
            assert_equal_to_reference(streams(), stream_samples(2), TorchBackend(device), stream_schedule(2))
            assert torch.is_autocast_enabled() if device == "cuda" else torch.is_autocast_cpu_enabled()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_sample_that_stands_still_is_multiplied_once_and_right(device: str) -> None:
    rng = np.random.default_rng(0)
    node = i.Synapse(
        "n",
        ("x",),
        of((4, 6, 6), -99999, 99999, "current"),
        "n",
        rng.integers(-9, 9, (4, 3, 3, 3)),
        (1, 1),
        (1, 1),
        1.0,
    )
    graph = graph_of(node, of((3, 6, 6), -128, 127))
    x = np.broadcast_to(rng.integers(-128, 128, (SAMPLES, 3, 6, 6)), (STEPS, SAMPLES, 3, 6, 6))
    with exact_products(torch.device(device)):
        given_x = to_device(x, torch.int8, torch.device(device))
        found = load(graph, torch.device(device)).operations["n"]([given_x])
    assert given_x.stride(0) == found.stride(0) == 0
    assert np.array_equal(found.cpu().numpy(), stateless(node, [x], graph, SAMPLES, None))


def test_lif_of_the_usual_decay_are_kept_in_float32(device: str) -> None:
    """The properties of `test_exact_operations` cover both types only if both are taken."""
    types = {}
    for dv in (2048, 1365):
        node = i.IntLif("n", ("x",), of((4, 5), 0, 1), "n", 100, dv, np.zeros(4, np.int64), 0, 1.0)
        cell = load(graph_of(node, of((4, 5), -300, 300, "current")), torch.device(device)).cells["n"]
        assert isinstance(cell, neurons.Lif)
        types[dv] = cell.bias.dtype
    assert types == {2048: torch.float32, 1365: torch.float64}


def test_products_are_exact_up_to_the_bound(device: str) -> None:
    """Large products, whose sums reach 2^24 - 1 and whose factors need all bits of a float32."""
    rng = np.random.default_rng(0)
    for size in (1, 16, 65, 512):
        a, b = rng.integers(0, (1 << 12) - 1, (size, size)), rng.integers(-1, 2, (size, 96))
        a = a * 4096 // max(1, size)  # sums of |a| stay below 2^24
        a[:, 0] += (1 << 24) - 1 - a.sum(axis=1)
        left, right = (torch.tensor(x, dtype=torch.float32, device=device) for x in (a, b))
        with exact_products(torch.device(device)):
            assert np.array_equal(torch.mm(left, right).cpu().numpy(), a @ b)


def test_a_run_without_counts_has_none(device: str) -> None:
    run = TorchBackend(device, counts=False).run(streams(), stream_samples(2), stream_schedule(2))
    assert run.counts is None
    assert np.array_equal(run.outputs, Reference().run(streams(), stream_samples(2), stream_schedule(2)).outputs)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tpu", "--device: unknown device 'tpu'"),
        ("cuda:99", "--device cuda:99: torch sees [0-9]+ GPUs here"),
    ],
)
def test_a_device_that_is_not_here_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_backend("torch", device=name).run(streams(), stream_samples(1), stream_schedule(1))


@pytest.fixture
def files(tmp_path: Path, compiled: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> Path:
    write_artifact(on_cores(compiled(LIVE).graph, load_chip("loihi2")), tmp_path / "a.pumice")
    np.save(tmp_path / "x.npy", images(LIVE, 3))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_runs_on_torch(files: Path) -> None:
    words = "run a.pumice --input x.npy --record --output"
    assert main([*words.split(), "one.npz", "--json", "one.json"]) == 0
    assert main([*words.split(), "other.npz", *["--backend", "torch", "--device", "cpu", "--json", "other.json"]]) == 0
    one, other = (dict(np.load(files / name)) for name in ("one.npz", "other.npz"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert (files / "one.json").read_text() == (files / "other.json").read_text()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--backend torch --per-core", "error: --per-core: the torch backend runs programs as a whole"),
        ("--backend reference --device cpu", "error: --device cpu: the reference backend takes none"),
        ("--backend float --device cpu", "error: --device cpu: the float backend takes none"),
        ("--backend torch --device abacus", "error: --device: unknown device 'abacus'"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], words: str, complaint: str
) -> None:
    assert main(["run", "a.pumice", "--input", "x.npy", "--output", "y.npz", *words.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith(complaint)
    assert said.count("\n") == 1
    assert not (files / "y.npz").exists()


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import pumice.runtime.torch_backend.devices as devices
from pumice.errors import BackendUnavailable
from pumice.runtime.backends import make_backend
devices.installed = lambda module: False
try:
    make_backend("torch").run(None, None)
except BackendUnavailable as error:
    assert "needs PyTorch" in str(error) and "pip install 'pumice[torch]'" == error.hint
else:
    raise AssertionError
"""


def test_without_torch_it_says_what_to_install() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
