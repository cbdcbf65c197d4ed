"""Files that are no NIR graph, or claim to be more than they are: refused before an array is read, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from small_graphs import chain, lif

from pumice.compiler.importing.nir_file import read_nir
from pumice.errors import InputError, PumiceError, UnsupportedNode


def written(path: Path) -> Path:
    nir.write(path, chain((2,), (2,), n=lif((2,)), s=nir.Scale(np.full(2, 2.0))))
    return path


def kind(file: h5py.File, value: Any) -> None:
    del file["node/nodes/n/type"]
    file["node/nodes/n/type"] = value


def objects(file: h5py.File) -> None:
    del file["node/nodes/n/tau"]
    file["node/nodes/n"].create_dataset("tau", data=["a", "b"], dtype=h5py.string_dtype())


def ragged(file: h5py.File) -> None:
    del file["node/nodes/n/tau"]
    file["node/nodes/n"].create_dataset("tau", (2,), dtype=h5py.vlen_dtype(np.float64))


def bomb(file: h5py.File) -> None:
    file["node/nodes/n"].create_dataset("w", (1 << 28,), "f4", chunks=(1 << 20,), compression="gzip")


def many_links(file: h5py.File) -> None:
    """One array of 64 MiB under 200 names is 12 GiB to whoever reads all of it."""
    file["node/nodes/n"].create_dataset("w", (1 << 24,), "f4", chunks=(1 << 20,))
    for number in range(200):
        file[f"node/nodes/n/w{number}"] = file["node/nodes/n/w"]


def ring(file: h5py.File) -> None:
    file["node/nodes/n/self"] = file["node/nodes/n"]


def outside(file: h5py.File) -> None:
    file["node/nodes/n/far"] = h5py.ExternalLink("other.h5", "/x")


def without(field: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(f"node/nodes/n/{field}")


SPOILT: list[tuple[Callable[[h5py.File], None], type[PumiceError], str]] = [
    (lambda f: kind(f, "Izhikevich"), UnsupportedNode, "node 'n' is of the unknown type 'Izhikevich'"),
    (lambda f: kind(f, 7), UnsupportedNode, "node 'n' has no type"),
    (without("type"), UnsupportedNode, "node 'n' has no type"),
    (without("v_threshold"), InputError, "node 'n': .*v_threshold"),
    (lambda f: f["node/nodes/n"].create_dataset("extra", data=1.0), InputError, "node 'n': .*extra"),
    (objects, InputError, "node 'n': tau is of dtype object"),
    (ragged, InputError, "node 'n': tau is of dtype object"),
    (bomb, InputError, "bytes that declare 1,073,"),
    (many_links, InputError, "declares 13,"),
    (ring, InputError, "nested deeper than 128"),
    (outside, InputError, "node/nodes/n/far is a link to elsewhere"),
    (lambda f: f.__delitem__("node/edges"), InputError, "edges"),
    (lambda f: f["node"].__setitem__("nodes/lone", 3), InputError, "node 'lone' is an array"),
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("spoil", "error", "message"), SPOILT, ids=[s[2][:24] for s in SPOILT])
def test_a_spoilt_file_is_one_line(
    tmp_path: Path, spoil: Callable[[h5py.File], None], error: type[PumiceError], message: str
) -> None:
    path = written(tmp_path / "net.nir")
    with h5py.File(path, "a") as file:
        spoil(file)
    with pytest.raises(error, match=message) as caught:
        read_nir(path)
    assert "\n" not in str(caught.value)


def test_a_single_node_is_no_graph(tmp_path: Path) -> None:
    nir.write(tmp_path / "one.nir", lif((2,)))
    with pytest.raises(InputError, match="a single LIF, not a graph"):
        read_nir(tmp_path / "one.nir")


def test_repetitive_arrays_of_a_real_network_are_no_bomb(tmp_path: Path) -> None:
    """A million equal neurons compress a hundredfold and more; they declare too little to be dangerous."""
    nir.write(tmp_path / "net.nir", chain((1 << 20,), (1 << 20,), n=lif((1 << 20,))))
    assert (tmp_path / "net.nir").stat().st_size < 5 * 8 * (1 << 20) / 100
    assert read_nir(tmp_path / "net.nir").nodes["n"].tau.shape == (1 << 20,)
