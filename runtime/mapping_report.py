"""A mapping, and a comparison of several, as JSON-ready values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pumice.compiler.mapping.comparison import Comparison, Row
from pumice.compiler.mapping.usage import Network, network_of
from pumice.compiler.program import CoreMapping, Program, Slice

WORD_BYTES = 8


@dataclass(frozen=True)
class LayerOnCores:
    """A neuron group. cores: that hold some of it. neurons: that need a core. formats: how its synapses are stored. words: of 64
    bits, over all cores. replication: stored synapses over those of one core that held the whole layer, None without any."""

    name: str
    cores: int
    neurons: int
    formats: tuple[str, ...]
    words: int
    replication: float | None


def mapping_dict(program: Program, row: Row, seconds: Mapping[str, float]) -> dict[str, Any]:
    """One method's mapping. seconds: of the stages before it."""
    return {
        "chip": program.chip.name,
        "method": row.method,
        "cores": len(program.mapping.cores),
        "chips": program.mapping.chips,
        "placements": {row.method: placement_dict(row)},
        "utilisation": dict(row.shares),
        "largest_core_memory": largest_memory(program),
        "unchecked_limits": list(program.chip.unchecked()),
        "layers": [asdict(layer) for layer in layers_on_cores(program)],
        "seconds": dict(seconds),
    }


def comparison_dict(compared: Comparison) -> dict[str, Any]:
    """Every method, and the ablation."""
    return {
        "placements": {row.method: placement_dict(row) for row in compared.rows},
        "ablation": {row.method: placement_dict(row, ablated=True) for row in compared.ablation},
    }


def placement_dict(row: Row, ablated: bool = False) -> dict[str, Any]:
    """A method's figures, per sample; why there are none where it has no mapping. ablated: without seconds, which say nothing
    there."""
    timed = {} if ablated else {"seconds": row.seconds}
    if row.mapped is None:
        return {"refused": str(row.refused), **timed}
    score, mapping = row.mapped.score, row.mapped.mapping
    return {
        "spike_hops": score.spike_hops,
        "crossings": score.crossings,
        "max_link_load": score.max_link_load,
        "messages": score.messages,
        "cores": len(mapping.cores),
        "chips": mapping.chips,
        "binding": row.shares["binding"],
        "binding_mean": row.shares["binding_mean"],
        **timed,
    }


def largest_memory(program: Program) -> dict[str, Any]:
    """The most that one core stores of weights. kib: of 1,024 bytes. limit_words: None where unpublished, so unchecked."""
    words = [sum(part.words for part in core) for core in program.mapping.cores]
    core = max(range(len(words)), key=words.__getitem__)
    limit = program.chip.synaptic_words_per_core
    return {"core": core, "words": words[core], "kib": words[core] * WORD_BYTES / 1024, "limit_words": limit}


def layers_on_cores(program: Program) -> list[LayerOnCores]:
    """What each neuron group takes, in program order; without those that can never send anything."""
    network, placed = network_of(program.graph, program.chip), program.mapping.slices_of()
    return [_layer(name, placed[name], program.mapping, network) for name in network.groups if name in placed]


def _layer(name: str, placed: Sequence[tuple[int, Slice]], mapping: CoreMapping, network: Network) -> LayerOnCores:
    parts = [part for _, part in placed]
    channels, positions = mapping.layouts[name].extent
    once = network.slice_of(name, (0, channels), (0, positions)).synapses
    return LayerOnCores(
        name,
        len({core for core, _ in placed}),
        sum(part.neurons for part in parts),
        _formats(parts),
        sum(part.words for part in parts),
        sum(part.synapses for part in parts) / once if once else None,
    )


def _formats(parts: Iterable[Slice]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(form for part in parts for form in part.formats))
