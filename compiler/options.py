"""Everything a user may choose about a compilation, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pumice.compiler.importing.readings import Reading, reading_of_dict
from pumice.compiler.weight_grid import WeightGrid
from pumice.errors import InputError
from pumice.hwsim.arith import MAX_SYNAPSES, Signs

MaskMode = Literal["static", "live", "given", "off"]
AttentionOrder = Literal["auto", "scores", "context"]
FactorMode = Literal["auto", "keep", "merge"]
MappingMethod = Literal["pumice", "sequential", "random", "greedy", "hilbert", "hilbert+force", "mtkahypar"]
FOREIGN_SYNAPSES = (
    3  # for which every layer of the networks in decision 0016 sends 99 % of its spikes as its framework does
)


@dataclass(frozen=True)
class CompileOptions:
    """weight_bits: bits of a quantized weight, sign included. input_bits: bits of a real-valued input. masks: where the
    routing masks come from. attention_order: (q kᵀ) v ("scores"), q (kᵀ v) ("context"), or the cheaper. factors: low-rank
    pairs kept as two layers, multiplied into one, or the cheaper. reading: what the NIR file means where it does not say it;
    without one, a file that leaves something open is refused. signs: weights with their sign in them, or a list of synapses for
    each sign, whose weights are twice as fine. synapses: how many 8-bit synapses may carry one weight, as their sum; 0: auto.
    mapping: how neurons are put on cores: Pumice's way, or one of the field's to compare with.
    "auto" of both: what another framework's file needs to fire as it does there (decision 0016), and the plainest for our own."""

    weight_bits: int = 8
    input_bits: int = 8
    masks: MaskMode = "live"
    attention_order: AttentionOrder = "auto"
    factors: FactorMode = "auto"
    reading: Reading | None = None
    signs: Literal["auto"] | Signs = "auto"
    synapses: int = 0
    mapping: MappingMethod = "pumice"

    def __post_init__(self) -> None:
        if not 2 <= self.weight_bits <= 8:
            raise InputError(f"weight bits {self.weight_bits}/8", "choose 2 to 8")
        if not 1 <= self.input_bits <= 16:
            raise InputError(f"input bits {self.input_bits}/16", "choose 1 to 16")
        if self.masks not in get_args(MaskMode):
            raise InputError(f"unknown mask mode {self.masks!r}", f"choose one of {', '.join(get_args(MaskMode))}")
        if self.attention_order not in get_args(AttentionOrder):
            raise InputError(
                f"unknown attention order {self.attention_order!r}",
                f"choose one of {', '.join(get_args(AttentionOrder))}",
            )

        if self.factors not in get_args(FactorMode):
            raise InputError(f"unknown factors {self.factors!r}", f"choose one of {', '.join(get_args(FactorMode))}")
        if self.mapping not in get_args(MappingMethod):
            raise InputError(f"unknown mapping {self.mapping!r}", f"choose one of {', '.join(get_args(MappingMethod))}")
        if self.signs not in ("auto", *get_args(Signs)):
            raise InputError(f"unknown signs {self.signs!r}", f"choose one of auto, {', '.join(get_args(Signs))}")
        if not 0 <= self.synapses <= MAX_SYNAPSES:
            hint = f"choose 1 to {MAX_SYNAPSES}, or 0 for auto"
            raise InputError(f"{self.synapses}/{MAX_SYNAPSES} synapses for a weight", hint)
        if self.synapses > 1 and self.weight_bits < 8:
            raise InputError(
                f"{self.synapses} synapses for a weight of {self.weight_bits} bits",
                "take 8 bits before a second synapse",
            )

    @property
    def weights(self) -> WeightGrid:
        """The integers that weights may be, with what "auto" stands for."""
        foreign = self.reading is not None
        signs: Signs = ("split" if foreign else "mixed") if self.signs == "auto" else self.signs
        finest = FOREIGN_SYNAPSES if foreign and self.weight_bits == 8 and self.signs != "mixed" else 1
        return WeightGrid(self.weight_bits, signs, self.synapses or finest)

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON-ready values, without a reading where there is none; `options_of_dict` reads them back."""
        return {key: value for key, value in asdict(self).items() if key != "reading" or value is not None}


def options_of_dict(values: Mapping[str, Any]) -> CompileOptions:
    """The options of which `as_dict` made these values, also after a trip through JSON."""
    said = values.get("reading")
    return CompileOptions(**{**values, "reading": None if said is None else reading_of_dict(said)})
