"""What a framework means by a NIR file.

NIR 1.0 writes neurons as differential equations (Pedersen et al. 2024, Nature Communications 15:8122) and says nothing of the
timestep, of how a step is taken, of what a reset subtracts, or of when a spike reaches a neuron through a cycle. Frameworks
differ in all of these. A `Reading` is one set of answers; `READINGS` holds those of the frameworks that export NIR.

Nothing here imports the frameworks. "Measured" means: the framework's own run and this reading gave equal spikes, on the
networks named in `docs/readings.md`; the others were read in the framework's source and are marked so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pumice.errors import InputError

Comparator = Literal[">", ">="]
Reset = Literal["zero", "subtract"]
ResetAt = Literal["spike", "next", "both"]
Decay = Literal["euler", "exponential"]
Gain = Literal["ode", "one", "leak", "decayed"]
IfGain = Literal["ode", "one"]
Spikes = Literal["one", "many"]
Floor = Literal["none", "zero", "threshold"]
Start = Literal["zero", "v_reset", "v_leak"]
Recurrence = Literal["zero", "bias", "none"]


@dataclass(frozen=True)
class Reading:
    """One discrete meaning of NIR's neurons. Per step, a leaky neuron with leak a per step does v = (1 - a) v + g x + a v_leak,
    then compares with its threshold θ, then resets.

    dt: seconds per timestep; a time constant of the file divided by dt is in timesteps.
    decay: a = dt / tau ("euler") or 1 - exp(-dt / tau) ("exponential").
    gain: g = a r, as the equation says ("ode"); 1, r left out ("one"); a, r left out of a LI and LIF ("leak"); or 1 - a, the
        input decaying in its own step ("decayed"). A CubaLIF's current takes w_in as a LIF's membrane takes r.
    if_gain: what a neuron without leak adds: dt r x ("ode") or x ("one").
    comparator: a neuron fires when v > θ or when v >= θ.
    reset: a spike sets v to v_reset ("zero") or takes θ from it ("subtract").
    reset_at: when θ is subtracted: at the spike ("spike"); one step later, after the leak ("next"); or at the spike and, from
        a v that is still beyond θ, once more after the next leak ("both").
    v_reset: whether the file's v_reset holds; otherwise 0.
    spikes: at most "one" a step, or as "many" as whole thresholds fit into v.
    floor: v is kept above 0 ("zero") or above -θ ("threshold").
    start: what v is before the first step.
    leaky_current: whether a CubaLIF's current leaks to v_leak as its membrane does, and not to 0.
    recurrence: a spike crosses a cycle in one step. What the cycle's layer gives in the first step: nothing at all ("zero"), or
        what it makes of silence, its bias ("bias"). "none": a cycle without a Delay is refused.
    undecided: what the framework has in several ways and exports alike, so that even with its name the file leaves it open.
    measured: whether the framework itself was run beside this reading; source: where it was read.
    """

    name: str
    source: str
    measured: bool
    dt: float = 1e-4
    decay: Decay = "euler"
    gain: Gain = "ode"
    if_gain: IfGain = "ode"
    comparator: Comparator = ">"
    reset: Reset = "zero"
    reset_at: ResetAt = "spike"
    v_reset: bool = True
    spikes: Spikes = "one"
    floor: Floor = "none"
    start: Start = "zero"
    leaky_current: bool = False
    recurrence: Recurrence = "none"
    undecided: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, allowed in choices().items():
            if getattr(self, field) not in allowed:
                raise InputError(
                    f"{field.replace('_', ' ')} {getattr(self, field)!r} is unknown",
                    f"choose one of {', '.join(allowed)}",
                )
        if not 0 < self.dt < float("inf"):
            raise InputError(f"dt {self.dt} is no timestep", "give seconds above 0, e.g. 1e-4")

    def as_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """The assumptions in one line."""
        leaks = f"{self.decay} steps of {self.dt:g} s"
        reset = "reset to v_reset" if self.v_reset else "reset to 0"
        if self.reset == "subtract":
            moment = {"spike": "", "next": " one step later", "both": " at the spike and again while beyond it"}
            reset = f"reset by subtraction{moment[self.reset_at]}"
        many = ", several spikes a step" if self.spikes == "many" else ""
        floor = {"none": "", "zero": ", v kept above 0", "threshold": ", v kept above -threshold"}[self.floor]
        unleaky = "v += dt·r·x" if self.if_gain == "ode" else "v += x"
        cycles = {"zero": "one step late, 0 at first", "bias": "one step late, bias at first", "none": "refused"}
        return (
            f"{leaks}, fires when v {self.comparator} threshold, {reset}{many}{floor}, "
            f"input gain {self.gain}, IF {unleaky}, cycles {cycles[self.recurrence]}"
        )


def reading_of_dict(values: Mapping[str, Any]) -> Reading:
    """The reading of which `as_dict` made these values, also after a trip through JSON. Raises InputError for unknown values."""
    return Reading(**{**values, "undecided": tuple(values.get("undecided", ()))})


@cache
def choices() -> Mapping[str, tuple[str, ...]]:
    """For each field with named values, those values. Found once: every node of a file makes readings."""
    hints = get_type_hints(Reading)
    named = {field.name: hints[field.name] for field in fields(Reading) if get_origin(hints[field.name]) is Literal}
    return MappingProxyType({name: get_args(hint) for name, hint in named.items()})


NIR = Reading(
    "nir",
    "the equations of the NIR paper, by Euler's method at the 1e-4 s that three exporters use; a convention, not a framework",
    measured=False,
    recurrence="zero",
)

NORSE = Reading(
    "norse",
    "norse 1.1.0: torch/utils/import_nir.py, functional/lif_box.py, functional/iaf.py; cycles by nirtorch's graph executor. "
    "Its own default is dt = 1e-3; the files it is measured on were made for 1e-4. LIF: r and v_reset are not read",
    measured=True,
    gain="leak",
    if_gain="one",
    v_reset=False,
    start="v_leak",
    leaky_current=True,
    recurrence="zero",
)

SNNTORCH = Reading(
    "snntorch",
    "snntorch 1.0.0: export_nir.py, import_nir.py (dt = 1e-4, reset_delay=False, r = tau / dt), _neurons/leaky.py. "
    "Its neurons reset by subtraction unless told otherwise, its importer resets to zero; the file does not say which",
    measured=True,
    if_gain="one",
    v_reset=False,
    reset_at="both",
    recurrence="bias",
    undecided=("reset",),
)

SPIKINGJELLY = Reading(
    "spikingjelly",
    "spikingjelly (repository): activation_based/nir_exchange, neuron.py; dt = 1e-4, IF exported with r = 1 / dt",
    measured=True,
    comparator=">=",
    start="v_reset",
    undecided=("reset",),
)

SINABS = Reading(
    "sinabs",
    "sinabs 2.0.3: nir.py, layers/iaf.py, layers/lif.py, activation (MultiSpike). IF measured; LIF and LI (exponential leak, "
    "tau in timesteps, input not scaled) read, not measured",
    measured=True,
    dt=1.0,
    decay="exponential",
    gain="one",
    if_gain="one",
    comparator=">=",
    reset="subtract",
    v_reset=False,
    spikes="many",
    floor="threshold",
)

ROCKPOOL = Reading(
    "rockpool",
    "rockpool: nn/modules/torch/nir.py, lif_torch.py; read, not measured. Its importer takes dt from tau / (1 + r): give --dt",
    measured=False,
    dt=1e-3,
    decay="exponential",
    gain="decayed",
    if_gain="one",
    comparator=">=",
    reset="subtract",
    v_reset=False,
    spikes="many",
    recurrence="zero",
)

LAVA_DL = Reading(
    "lava-dl",
    "lava-dl 0.6.0: slayer/neuron/cuba.py, slayer/spike/spike.py, and the NIR paper's nir_to_lava.py; read, not measured. "
    "Its 12-bit decays and its small threshold offset are left out",
    measured=False,
    if_gain="one",
    comparator=">=",
    v_reset=False,
    recurrence="bias",
)

NENGO = Reading(
    "nengo",
    "nengo: neurons.py (LIF), and the NIR paper's nir_to_nengo.py; read, not measured. The part of a step that Nengo integrates "
    "after a spike, and the delay of its synapse filters, are left out",
    measured=False,
    dt=1e-3,
    decay="exponential",
    v_reset=False,
    if_gain="one",
    floor="zero",
    recurrence="zero",
)

READINGS: Mapping[str, Reading] = {
    r.name: r for r in (NIR, NORSE, SNNTORCH, SPIKINGJELLY, SINABS, ROCKPOOL, LAVA_DL, NENGO)
}


def reading(name: str, **options: Any) -> Reading:
    """The reading `name`, with the options that are not None in place of its own. Raises InputError for what is unknown."""
    if name not in READINGS:
        raise InputError(f"unknown reading {name!r}", f"known: {', '.join(READINGS)}")
    chosen = {key: value for key, value in options.items() if value is not None}
    open_still = tuple(field for field in READINGS[name].undecided if field not in chosen)
    return replace(READINGS[name], **chosen, undecided=open_still)
