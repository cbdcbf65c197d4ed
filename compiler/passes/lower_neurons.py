"""Which of NIR's neurons a chip's LIF can be, and how: gain, leak and reset of a general neuron as those of a LIF layer."""

from __future__ import annotations

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.hwsim.arith import Reset

SUBTRACTIONS: dict[str, Reset] = {"spike": "soft", "next": "next", "both": "both"}  # by the words of `readings.Reading`


def neuron_problem(node: g.Neuron) -> str:
    """Why a neuron is no LIF layer of a chip, "" where it is one."""
    fire, leak = node.firing, node.membrane
    if fire is None:
        return "neurons that give their membrane run in float, but are not lowered to a chip yet"
    if node.current is not None:
        return "neurons with a synaptic current run in float, but are not lowered to a chip yet"
    uniform = {"leak": leak.keep, "gain": leak.gain, "threshold": fire.threshold}
    varied = [name for name, values in uniform.items() if not _is_uniform(values)]
    problems = {
        f"{', '.join(varied)} differs between neurons; a chip layer has one": bool(varied),
        "several spikes a step: a chip's neuron sends one": fire.spikes != "one",
        "v has a floor, which a chip's neuron has not": fire.low is not None,
        "v leaks to v_leak, not to 0": bool(np.any(leak.offset)),
        "v starts at other than 0": bool(np.any(leak.start)),
        "a spike resets v to v_reset, not to 0": fire.reset == "zero" and bool(np.any(fire.v_reset)),
        "gain and threshold must be above 0": bool(np.any(leak.gain <= 0) or np.any(fire.threshold <= 0)),
    }
    return next((problem for problem, real in problems.items() if real), "")


def lif_of(node: g.Neuron) -> f.Lif:
    """The LIF layer of a neuron without `neuron_problem`."""
    fire, leak = node.firing, node.membrane
    assert fire is not None
    keep, gain, threshold = (float(values.flat[0]) for values in (leak.keep, leak.gain, fire.threshold))
    tau = float("inf") if keep == 1 else 1 / (1 - keep)
    reset = "hard" if fire.reset == "zero" else SUBTRACTIONS[fire.reset_at]
    return f.Lif(node.name, node.inputs, node.out, node.source, tau, threshold, fire.comparator, gain, reset)


def _is_uniform(values: g.Floats) -> bool:
    return values.size > 0 and bool(np.all(values == values.flat[0]))
