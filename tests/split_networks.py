"""A network compiled for cores with few input axons, so that layers are summed in parts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.hwsim.spec import load_chip

CONFIG = TinySpikformer(channels=8)
AXONS = (
    40  # fewer than the 8 × 3 × 3 inputs of a convolution and the 8 × 16 of the read-out; attention's own inputs fit
)


@cache
def split_spikformer(axons: int | None, masks: str = "static") -> Program:
    """A tiny Spikformer on cores of so many input axons; None: no limit."""
    options = CompileOptions(masks=masks)  # type: ignore[arg-type]
    chip = replace(load_chip("loihi2"), input_axons_per_core=axons)
    return compile_nir(tiny_spikformer(CONFIG), images(CONFIG, 8), chip, options)
