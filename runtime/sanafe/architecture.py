"""The chip as SANA-FE's architecture file: the mesh of our chip specification, the prices of an energy profile.

Only tiles in use have cores. Where cores read the network's input, their tile has one core more, the host's, which costs nothing
itself. Latencies are 0: the profile has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from pumice.errors import InputError
from pumice.hwsim.energy import EnergyProfile
from pumice.runtime.sanafe.plan import Part, Plan, Tile

NO_TIME = "latency_access_neuron: 0.0, latency_update_neuron: 0.0, latency_spike_out: 0.0"
HOPS = (("north", "hop_ns"), ("east", "hop_ew"), ("south", "hop_ns"), ("west", "hop_ew"))


def architecture_lines(plan: Plan, profile: EnergyProfile) -> Iterator[str]:
    """The file, line by line. Raises InputError where the profile lacks a price."""
    chip = plan.program.chip
    yield f"# {chip.name}; energies: {profile.title}. One soma unit for each layer on a core, so that its energy can be told."
    yield "architecture:"
    yield f"  name: {chip.name}"
    yield "  attributes:"
    yield f"    {{topology: mesh, width: {chip.mesh_columns}, height: {chip.mesh_rows}, link_buffer_size: 16}}"
    yield "  tile:"
    parts = [part for population in plan.populations.values() for part in population.parts]
    used = {(part.site.x, part.site.y) for part in parts}
    for tile in tiles(plan):
        here = [part for part in parts if (part.site.x, part.site.y) == tile]
        yield from _tile(plan, profile, tile, here, tile in used)


def tiles(plan: Plan) -> list[Tile]:
    """The mesh in SANA-FE's order, column by column, as far as it is used."""
    rows = plan.program.chip.mesh_rows
    last = max(site.x * rows + site.y for site in plan.program.mapping.sites)
    return [divmod(number, rows) for number in range(last + 1)]


def host_core(plan: Plan) -> int:
    """The host's core on a tile, behind those of the chip."""
    return plan.program.chip.cores_per_tile


def _tile(plan: Plan, profile: EnergyProfile, tile: Tile, parts: list[Part], used: bool) -> Iterator[str]:
    yield f"    - name: tile_x{tile[0]}_y{tile[1]}"
    yield "      attributes:"
    for side, term in HOPS:
        yield f"        energy_{side}_hop: {joules(profile, term)}"
        yield f"        latency_{side}_hop: 0.0"
    if not used:
        yield "      core: []"
        return
    yield "      core:"
    for core in range(plan.program.chip.cores_per_tile):
        units = [part.unit for part in parts if part.site.core == core]
        yield from _core(f"core_{core}", plan.program.chip.neurons_per_core, _units(units, profile), profile)
    if tile in plan.hosts:
        yield from _core("host", plan.inputs, _host_units(plan.inputs), profile)


def _core(name: str, neurons: int, units: list[str], profile: EnergyProfile) -> Iterator[str]:
    yield f"        - name: {name}"
    yield f"          attributes: {{buffer_position: soma, buffer_inside_unit: false, max_neurons_supported: {neurons}}}"
    yield "          axon_in: [{name: axon_in, attributes: {energy_message_in: 0.0, latency_message_in: 0.0}}]"
    yield from units
    out = f"energy_message_out: {joules(profile, 'message')}, latency_message_out: 0.0"
    yield f"          axon_out: [{{name: axon_out, attributes: {{{out}}}}}]"


def _units(units: list[str], profile: EnergyProfile) -> list[str]:
    """A core's units: a soma and a dendrite for each part, and a synapse for each price."""
    idle, active = price(profile, "neuron_idle"), price(profile, "neuron_active")
    costs = f"energy_access_neuron: {_joules(idle)}, energy_update_neuron: {_joules(active - idle)}, "
    costs += f"energy_spike_out: {joules(profile, 'spike')}, {NO_TIME}"
    lines = ["          soma:"]
    for unit in units:
        lines.append(
            f"            - {{name: soma_{unit}, attributes: {{model: leaky_integrate_fire, log_energy: true, {costs}}}}}"
        )
    lines.append("          dendrite:")
    free = "energy_update: 0.0, latency_update: 0.0"
    lines += [f"            - {{name: dendrite_{unit}, attributes: {{model: accumulator, {free}}}}}" for unit in units]
    lines.append("          synapse:")
    for term in ("mac", "synop_dense", "synop_conv") if units else ():
        cost = f"energy_process_spike: {joules(profile, term)}, latency_process_spike: 0.0"
        lines.append(f"            - {{name: {term}, attributes: {{model: current_based, {cost}}}}}")
    return lines if units else ["          soma: []", "          dendrite: []", "          synapse: []"]


def _host_units(inputs: int) -> list[str]:
    """A unit for each input neuron, since a unit plays one train of spikes."""
    free = "energy_access_neuron: 0.0, energy_update_neuron: 0.0, energy_spike_out: 0.0, " + NO_TIME
    return [
        f'          soma: [{{name: "input[0..{inputs - 1}]", attributes: {{model: input, {free}}}}}]',
        "          dendrite: [{name: unused, attributes: {model: accumulator, energy_update: 0.0, latency_update: 0.0}}]",
        "          synapse: []",
    ]


def price(profile: EnergyProfile, term: str) -> float:
    """Picojoules. Raises InputError for a term that nobody published."""
    found: float | None = getattr(profile, term)
    if found is None:
        raise InputError(f"energy profile {profile.name}: {term} is unpublished", "SANA-FE needs every price")
    return found


def joules(profile: EnergyProfile, term: str) -> str:
    """A price as SANA-FE reads it."""
    return _joules(price(profile, term))


def _joules(picojoules: float) -> str:
    return f"{picojoules:.12g}e-12" if picojoules else "0.0"
