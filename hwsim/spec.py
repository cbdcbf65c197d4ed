"""Chip specifications: data files with a source for every number. A number that nobody published is null: unchecked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pumice.errors import InputError
from pumice.hwsim.chip_schema import chip_problems
from pumice.hwsim.data_files import TomlError, parse_toml, shipped_names, shipped_text


@dataclass(frozen=True)
class ChipSpec:
    """What one chip has. Integers; None where unpublished. `sources` holds, per field, where the number comes from.

    mesh_columns, mesh_rows: tiles of the mesh; cores_per_tile: cores that share a router. chip_columns: chips in a row of the
    system. synaptic_words_per_core: 64-bit words. graded_bits: payload bits of a spike, 0 for binary spikes only. max_delay:
    axonal delay in timesteps.

    How synapses are stored (see `compiler.mapping.memory`): synapse_prefix_bits of an entry of synapses_per_entry
    synapses, at most words_per_axon words an axon, an index of index_bits_min to index_bits_max bits;
    shared_axon_positions: targets that a shared axon's base can name; shared_axon_channels: source channels that it can
    tell apart. *_axon_entries: output axon entries of one neuron for one destination core, when it has synapses of its
    own, when it shares those of its channel, and what is added where it leaves the chip. *_configs: entries of a core's
    tables of compartment settings, thresholds and synapse formats.
    """

    name: str
    usable_cores_per_chip: int
    mesh_columns: int
    mesh_rows: int
    cores_per_tile: int
    chip_columns: int
    max_chips: int
    neurons_per_core: int
    synaptic_words_per_core: int | None
    synapses_per_chip: int | None
    input_axons_per_core: int | None
    output_axons_per_core: int | None
    synapse_prefix_bits: int | None
    synapses_per_entry: int | None
    words_per_axon: int | None
    index_bits_min: int | None
    index_bits_max: int | None
    shared_axon_positions: int | None
    shared_axon_channels: int | None
    discrete_axon_entries: int | None
    shared_axon_entries: int | None
    crossing_axon_entries: int | None
    compartment_configs: int | None
    threshold_configs: int | None
    synapse_configs: int | None
    weight_bits: int
    bias_mantissa_bits: int
    bias_exponent_bits: int
    threshold_bits: int
    graded_bits: int
    max_delay: int
    sources: Mapping[str, str]

    def unchecked(self) -> tuple[str, ...]:
        """The limits that nobody published, so that no rule checks them."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is None)

    def as_dict(self) -> dict[str, Any]:
        """The specification as JSON-ready values."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "sources"} | {
            "sources": dict(self.sources)
        }

    def digest(self) -> str:
        """A hash of every number, so that an artifact names the very chip it was compiled for."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def chip_names() -> list[str]:
    """The chips that Pumice ships, by name."""
    return shipped_names("chips")


def load_chip(name: str) -> ChipSpec:
    """A shipped chip by name, or a user's own `.toml` by path. Raises InputError naming every bad entry."""
    known = ", ".join(chip_names())
    own = name.endswith(".toml")
    if not own and name not in chip_names():
        raise InputError(f"unknown chip {name!r}", f"known: {known}, or the path of a .toml file")
    if own and not Path(name).is_file():
        raise InputError(f"{name}: no such file", f"known chips: {known}")
    try:
        table = parse_toml(Path(name).read_text() if own else shipped_text("chips", name))
    except (TomlError, UnicodeDecodeError) as error:
        raise InputError(f"chip {name}: not valid TOML ({error})", "see hwsim/chips/loihi2.toml") from error
    return chip_from_table(table, name)


def chip_from_table(table: Mapping[str, Any], where: str) -> ChipSpec:
    """A specification from its parsed table: `name = "…"`, and per field `{value, source}`; a missing value is null. Raises
    InputError with every violation."""
    wanted = {f.name: "None" in str(f.type) for f in fields(ChipSpec) if f.name not in ("name", "sources")}
    problems = chip_problems(table, wanted)
    if problems:
        raise InputError(f"chip {where}: {'; '.join(problems)}", "every field is described in docs/add-a-chip.md")
    values = {field: table[field].get("value") for field in wanted}
    sources = {field: table[field]["source"] for field in wanted}
    return ChipSpec(name=table.get("name", where), sources=sources, **values)
