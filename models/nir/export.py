"""A spiking transformer as a NIR graph. Node names are the official module names; see `pumice.compiler.dialect` for the rest."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import nir

from pumice.errors import InputError
from pumice.files import write_atomically
from pumice.models.network import SpikingNetwork
from pumice.models.nir.builder import Builder
from pumice.models.nir.families import family_of
from pumice.models.nir.qkformer import qkformer_graph
from pumice.models.nir.sdt_v1 import sdt_v1_graph
from pumice.models.nir.sdt_v3 import sdt_v3_graph
from pumice.models.nir.sparse_spikformer import sparse_spikformer_graph
from pumice.models.nir.spikformer import spikformer_graph
from pumice.models.pruning.variants import variant_of
from pumice.models.qkformer import QKFormer
from pumice.models.sdt_v1 import SdtV1
from pumice.models.sdt_v3 import SdtV3
from pumice.models.sparse_spikformer import SparseSpikformer
from pumice.models.spikformer import Spikformer
from pumice.models.spikformer_conv import SpikformerDvs, SpikformerImagenet

Encoding = Literal["repeat", "frames"]
EVENT_CHANNELS = 2  # on and off events: what an SDT-V1 with two input channels is taken to see


def to_nir(model: SpikingNetwork, encoding: Encoding | None = None) -> nir.NIRGraph:
    """The model, with its token pruning, as a NIR graph: input `[C, H, W]`, output `[K]`, one sample, one timestep.

    encoding: "repeat" shows a still image at every timestep, "frames" takes one frame per timestep. None chooses frames
    for event data (Spikformer's DVS form; SDT-V1 with two input channels). The weights are copied. Any `nir.read` loads
    the written graph; a consumer that does not know the dialect refuses it. Raises InputError for a form of a model that
    has no meaning on a chip, and for an encoding that the model does not take.
    """
    _check_in_place(model)
    build = Builder(model)
    last = build.input(input_shape(model), _facts(model, _encoding(model, encoding)))
    match model:
        case Spikformer() | SpikformerImagenet():
            return spikformer_graph(model, build, last)
        case SdtV1():
            return sdt_v1_graph(model, build, last)
        case SdtV3():
            return sdt_v3_graph(model, build, last)
        case QKFormer():
            return qkformer_graph(model, build, last)
        case SparseSpikformer():
            return sparse_spikformer_graph(model, build, last)
        case _:
            raise InputError(
                f"a {type(model).__name__} has no form in NIR", "export one of the models of pumice.models"
            )


def write_nir(graph: nir.NIRGraph, path: str | Path) -> None:
    """Writes `graph` as a `.nir` file, uncompressed: faster both ways, and float weights hardly compress.

    The file appears whole or not at all. Raises InputError where it cannot be written.
    """
    content = io.BytesIO()
    nir.write(content, graph, compression=None)
    write_atomically(Path(path), content.getvalue())


def input_shape(model: Any) -> tuple[int, int, int]:
    """One frame that the model takes, `[C, H, W]`."""
    config = model.config
    return config.in_channels, config.img_size_h, config.img_size_w


def _check_in_place(model: Any) -> None:
    """A neuron on a chip belongs to one token, so tokens that move to the slots of a smaller image have no meaning there."""
    if getattr(model.config, "k_values", None) is not None:
        raise InputError(
            f"{type(model).__name__}: k_values gather tokens, and a neuron on a chip belongs to one token",
            "build it without k_values and set a `pruning`, which gates tokens in place",
        )


def _facts(model: Any, encoding: Encoding) -> dict[str, Any]:
    """What the input node says: enough to build the model again. SDT-V3 has one timestep and no T."""
    facts = {
        "timesteps": getattr(model.config, "T", 1),
        "encoding": encoding,
        "family": family_of(model),
        "config": model.config.as_dict(),
    }
    variant = variant_of(model)
    return facts | {"variant": variant} if variant else facts


def _encoding(model: Any, wanted: Encoding | None) -> Encoding:
    takes: dict[type[Any], tuple[Encoding, ...]] = {SpikformerDvs: ("frames",), SdtV1: ("repeat", "frames")}
    known = takes.get(type(model), ("repeat",))
    if wanted is None:
        return "frames" if "frames" in known and model.config.in_channels == EVENT_CHANNELS else known[0]
    if wanted not in known:
        raise InputError(
            f"{type(model).__name__} does not take encoding {wanted!r}", f"it takes {' or '.join(map(repr, known))}"
        )
    return wanted
