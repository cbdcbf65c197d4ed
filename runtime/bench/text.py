"""A benchmark's numbers as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

Found = Mapping[str, Any]
SAID = {
    "fast_over_float": "fast over float, images/s",
    "fast_over_torch": "fast over torch, images/s",
    "fast_over_reference": "fast over reference, images/s",
    "fast_over_lava": "fast over lava, started, an image",
    "fast_over_lava_whole_run": "fast over lava, whole run, an image",
    "retention_half_speedup": "half of the tokens, in the blocks",
    "retention_half_speedup_network": "half of the tokens, whole network",
    "retention_half_live_speedup": "half of the tokens, live masks, in the blocks",
    "density_tenth_speedup": "a tenth of the weights, in the blocks",
    "density_tenth_speedup_network": "a tenth of the weights, whole network",
}


def tables(said: Found) -> list[Table]:
    """Ratios; images a second; growth and memory."""
    return [_ratios(said), _rates(said), _growth(said)]


def _ratios(said: Found) -> Table:
    table = _table("", "median", "min", "max", title=f"{said['machine']['processor']}, {said['threads']} threads")
    for name, spread in said["spreads"].items():
        table.add_row(SAID[name], *(f"{spread[key]:.2f}" for key in ("median", "min", "max")))
    return table


def _rates(said: Found) -> Table:
    columns = ("model, variant", "fire", "receive", "MSynOp", "fast", "torch", "float", "reference", "lava", "GSynOp/s")
    table = _table(*columns, title="images/s (median)")
    for model, found in said["models"].items():
        for name, variant in found["variants"].items():
            if variant["images_per_s"]:
                table.add_row(f"{model}, {name}", *_variant(variant))
    return table


def _variant(variant: Found) -> list[str]:
    rates, fires = variant["images_per_s"], variant["firing"]
    each = [
        f"{rates[who]['median']:.2f}" if who in rates else "" for who in ("fast", "torch", "float", "reference", "lava")
    ]
    shares = [f"{fires[of]['mean']:.1%}" if fires[of] else "" for of in ("neurons", "synapses_receive")]
    return [
        *shares,
        f"{variant['per_image']['synops'] / 1e6:.1f}",
        *each,
        f"{variant['synops_per_s']['fast'] / 1e9:.2f}",
    ]


def _growth(said: Found) -> Table:
    table = _table(
        "model", "batch^p", "tokens^p", "timesteps^p", "peak memory, MB", title="growth of fast's time; memory"
    )
    for model, powers in said["exponents"].items():
        peaks = said["models"][model]["memory_bytes"]
        memory = ", ".join(f"{who} {peak['peak'] / 1e6:.0f}" for who, peak in peaks.items())
        each = [f"{powers[name]:.2f}" if name in powers else "" for name in ("batch", "tokens", "timesteps")]
        table.add_row(model, *each, memory)
    return table


def _table(first: str, *others: str, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
