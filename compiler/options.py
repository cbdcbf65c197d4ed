"""Everything a user may choose about a compilation, in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pumice.errors import InputError

MaskMode = Literal["static", "live", "given", "off"]
AttentionOrder = Literal["auto", "scores", "context"]
FactorMode = Literal["auto", "keep", "merge"]


@dataclass(frozen=True)
class CompileOptions:
    """weight_bits: bits of a quantized weight, sign included. input_bits: bits of a real-valued input. masks: where the
    routing masks come from. attention_order: (q kᵀ) v ("scores"), q (kᵀ v) ("context"), or the cheaper. factors: low-rank
    pairs kept as two layers, multiplied into one, or the cheaper."""

    weight_bits: int = 8
    input_bits: int = 8
    masks: MaskMode = "live"
    attention_order: AttentionOrder = "auto"
    factors: FactorMode = "auto"

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

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON-ready values; `CompileOptions(**d)` reads them back."""
        return asdict(self)
