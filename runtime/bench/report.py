"""The numbers of a benchmark from what its jobs measured: rates, ratios with their spread, exponents, shares of the limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pumice.runtime.bench.executors import BLOCKS, STEADY
from pumice.runtime.bench.numbers import exponent, ratios, spread
from pumice.runtime.bench.plans import HALF, TENTH, UNPRUNED, Plan, Variant

Found = Mapping[str, Any]
Pairs = Sequence[float] | None
HEADLINES = ("fast_over_float", "fast_over_lava", "retention_half_speedup", "density_tenth_speedup")


def report(plan: Plan, found: Found) -> dict[str, Any]:
    """found: of `run.run_bench`. `ratios`: medians, null where not measured; `spreads`: of these and of others min, median and
    max over rounds; `models`; `exponents`; `limits`; `digits`. Keys carry their units."""
    pairs = all_pairs(plan, found)
    return {
        "ratios": {name: _median(pairs[name]) for name in HEADLINES},
        "spreads": {name: spread(values).as_dict() for name, values in pairs.items() if values},
        "headline_model": plan.headline,
        "lava_model": plan.beside_lava,
        "models": {name: _model(model, found.get("limits")) for name, model in found["models"].items()},
        "exponents": {name: exponents(model) for name, model in found["models"].items()},
        "limits": found.get("limits"),
        "digits": _digits(found.get("digits")),
        "job_s": found["seconds"],
    }


def all_pairs(plan: Plan, found: Found) -> dict[str, Pairs]:
    """Ratios of each round, by name; None where one side was not measured. Blocks: thread seconds in the transformer blocks;
    the network: seconds of the whole run."""
    headline, beside = found["models"].get(plan.headline), found["models"].get(plan.beside_lava)
    return {
        "fast_over_float": _rate_ratio(headline, "fast", "float"),
        "fast_over_torch": _rate_ratio(headline, "fast", "torch"),
        "fast_over_reference": _rate_ratio(headline, "fast", "reference"),
        "fast_over_lava": _rate_ratio(beside, "fast", "lava", STEADY),
        "fast_over_lava_whole_run": _rate_ratio(beside, "fast", "lava"),
        "retention_half_speedup": _variant_ratio(headline, HALF, BLOCKS),
        "retention_half_speedup_network": _variant_ratio(headline, HALF, ""),
        "retention_half_live_speedup": _variant_ratio(headline, Variant(retention=0.5, masks="live"), BLOCKS),
        "density_tenth_speedup": _variant_ratio(headline, TENTH, BLOCKS),
        "density_tenth_speedup_network": _variant_ratio(headline, TENTH, ""),
    }


def exponents(model: Found) -> dict[str, float]:
    """p of time ~ size^p of `fast`: of the whole run by images in a batch and by timesteps, of the time in the blocks by tokens
    kept (static masks)."""
    growth = {name: float(series["exponent"]) for name, series in model["growth"].items()}
    kept = _tokens(model)
    if len({size for size, _ in kept}) < 2:
        return growth
    return growth | {"tokens": exponent([size for size, _ in kept], [cost for _, cost in kept])}


def _tokens(model: Found) -> list[tuple[float, float]]:
    """Share of tokens kept, and the least thread seconds in the blocks; of weights that are all there."""
    names = [name for name in model["blocks"] if "live" not in name and "density" not in name]
    shares = [model["describe"][name]["tokens_kept"] for name in names]
    return [(share, min(model["blocks"][name]["parts"][BLOCKS])) for share, name in zip(shares, names, strict=True)]


def _model(model: Found, limits: Found | None) -> dict[str, Any]:
    """A model's variants, growth and memory."""
    variants = {name: _variant(model, name, limits) for name in model["describe"]}
    memory = {
        name: {**peaks, "above_start": peaks["peak"] - peaks["before"]} for name, peaks in model["memory"].items()
    }
    growth = {name: {"seconds": series["seconds"]} for name, series in model["growth"].items()}
    growth["tokens"] = {"seconds": _tokens(model)}
    return {"variants": variants, "growth": growth, "memory_bytes": memory, "compile_s": model["prepare"]["compile_s"]}


def _variant(model: Found, name: str, limits: Found | None) -> dict[str, Any]:
    done = model["describe"][name]
    compared, blocks = model["compare"].get(name, {}), model["blocks"].get(name)
    rates = {who: spread(_rates(rounds)).as_dict() for who, rounds in compared.items()}
    made: dict[str, Any] = {**done, "images_per_s": rates}
    made["images_per_run"] = {who: rounds["images"] for who, rounds in compared.items()}
    if lava := compared.get("lava"):
        made["lava_started_images_per_s"] = spread([1 / taken for taken in lava["parts"][STEADY]]).as_dict()
    synops = done["per_image"]["synops"]
    made["synops_per_s"] = {who: synops * rate["median"] for who, rate in rates.items()}
    if blocks:
        made["blocks_thread_s_per_image"] = _each(blocks["parts"][BLOCKS], blocks["images"])
        made["network_s_per_image"] = _each(blocks["seconds"], blocks["images"])
    if limits and "fast" in rates:
        made["share_of_limits"] = shares(done["per_image"], rates["fast"]["median"], limits)
    return made


def shares(per_image: Found, images_per_s: float, limits: Found) -> dict[str, float]:
    """What `fast` does in a second, over what the machine can: synaptic operations, and those of dense layers, over additions;
    the bytes that have to move over copied bytes. Dense layers may exceed 1: dot products add several numbers at once."""
    added, copied = limits["int16_adds_per_s"]["median"], limits["copy_bytes_per_s"]["median"]
    return {
        "synops_over_int16_adds": per_image["synops"] * images_per_s / added,
        "dense_over_int16_adds": per_image["dense"] * images_per_s / added,
        "least_bytes_over_copied": per_image["least_bytes"] * images_per_s / copied,
    }


def _digits(found: Found | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"images": found["images"]} | {name: spread(found[name]).as_dict() for name in ("array_s", "shipped_data_s")}


def _rates(rounds: Found, part: str = "") -> list[float]:
    """Images a second of each round; a part is seconds of one image."""
    if part:
        return [1 / taken for taken in rounds["parts"][part]]
    return [rounds["images"] / taken for taken in rounds["seconds"]]


def _rate_ratio(model: Found | None, above: str, below: str, part: str = "") -> Pairs:
    rounds = model["compare"].get(UNPRUNED.name, {}) if model else {}
    if above not in rounds or below not in rounds:
        return None
    return ratios(_rates(rounds[above]), _rates(rounds[below], part))


def _variant_ratio(model: Found | None, variant: Variant, part: str) -> Pairs:
    blocks = model["blocks"] if model else {}
    if UNPRUNED.name not in blocks or variant.name not in blocks:
        return None
    pair = (blocks[UNPRUNED.name], blocks[variant.name])
    return ratios(*(one["parts"][part] if part else one["seconds"] for one in pair))


def _each(taken: Sequence[float], images: int) -> dict[str, float]:
    return spread([one / images for one in taken]).as_dict()


def _median(values: Pairs) -> float | None:
    return spread(values).median if values else None
