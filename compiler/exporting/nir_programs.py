"""Programmable neurons as NIR's. What NIR has no field for, the Pumice dialect says beside it; what neither says is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.dialect import annotation
from pumice.compiler.exporting.neurons import refusal
from pumice.compiler.exporting.nir_nodes import Floats, Said, nir_shape
from pumice.compiler.int_nodes import Ints
from pumice.compiler.ir import Shape
from pumice.hwsim.arith import DECAY_UNITY, MEMBRANE_SHIFT
from pumice.hwsim.programmable import NO_FLOOR, NeuronParams

UNIT = 1 << MEMBRANE_SHIFT
RESETS: Mapping[str, Said] = {
    "hard": {"reset": "hard"},
    "soft": {"reset": "soft"},
    "next": {"reset": "soft", "reset_at": "next"},
    "both": {"reset": "soft", "reset_at": "both"},
}
HINT = "NIR's neurons have a leak, a current that leaks, a threshold and a reset, and begin at 0, at their reset or at rest"


@dataclass(frozen=True, eq=False)
class Form:
    """node: the NIR neuron. bias: what its synapses are to add in every step, in current units, of the layer's shape. also: the
    words of a reading that hold for it and that NIR has no field for."""

    node: nir.NIRNode
    bias: Floats
    also: Said


@dataclass(frozen=True, eq=False)
class _Parts:
    """A population in current units, every array of its NIR shape. tau, tau_syn: timesteps; None without a leak, without a
    current. inner: what the membrane, and not the current, adds in every step."""

    tau: Floats | None
    tau_syn: Floats | None
    threshold: Floats
    v_reset: Floats
    inner: Floats
    bias: Floats
    also: Said


def program_form(node: i.Programmable, dt: float) -> Form:
    """`node` as a NIR neuron of `dt` seconds a step. Raises UnsupportedNode for what neither NIR nor the dialect says."""
    p = node.params
    if p.most > 0 and not _remembers(p):
        threshold = (p.threshold - p.bias - p.current_bias) / UNIT
        said = annotation(_said(node, dt))
        return Form(
            nir.Threshold(_wide(threshold, node), metadata=said), np.zeros(nir_shape(node.out.shape)), RESETS["hard"]
        )
    parts = _parts(node)
    metadata = annotation(_said(node, dt) | parts.also)
    return Form(_made(node, parts, dt, metadata), parts.bias, parts.also)


def stream_form(node: i.Membrane) -> Form:
    """A stream of real values: its current in payload units, neither rounded nor clipped."""
    factor = 2.0**node.shift
    shape = nir_shape(node.out.shape)
    made = nir.Scale(np.full(shape, factor), metadata=annotation({"scale": node.scale, "shift": node.shift}))
    return Form(made, np.broadcast_to(node.bias / factor, node.out.shape).reshape(shape), {})


def _remembers(p: NeuronParams) -> bool:
    """Whether a step depends on the one before."""
    kept = np.any(p.dv != DECAY_UNITY) or np.any(p.du != DECAY_UNITY)
    return bool(kept) or p.reset in ("next", "both") or p.most > 1


def _said(node: i.Programmable, dt: float) -> Said:
    p = node.params
    said: Said = {"dt": dt, "comparator": ">=" if p.inclusive else ">", "reset": "hard", "scale": node.scale}
    payload = {"shift": p.shift, "low": p.limits[0], "high": p.limits[1], "norm": node.norm}
    return said | ({"payload": payload} if p.most == 0 else {}) | {"unit": "current"}


def _parts(node: i.Programmable) -> _Parts:
    p = node.params
    tau, tau_syn = _taus(p.dv, node, "membrane"), None
    bias, inner = p.bias + p.current_bias, 0 * p.bias
    if np.any(p.du != DECAY_UNITY):
        tau_syn, bias, inner = _taus(p.du, node, "current"), p.current_bias, p.bias
        if np.any(p.current_start):
            raise refusal(node, "its current does not begin at 0", HINT)
    if tau_syn is None and tau is not None:
        bias, inner = 0 * p.bias, bias
    if tau_syn is not None and tau is None:
        raise refusal(node, "its current leaks, its membrane does not", HINT)
    also: dict[str, Any] = {} if p.most == 0 else dict(RESETS[p.reset])
    also |= {"spikes": "many"} if p.most > 1 else {}
    also |= _floor(node, tau is not None) | _start(node)
    if also.get("start") == "v_leak":
        bias, inner = _at_rest(node, bias, inner, tau, tau_syn)
    found = [_wide(values / UNIT, node) for values in (p.threshold, p.v_reset, inner, bias)]
    return _Parts(tau, tau_syn, found[0], found[1], found[2], found[3], also)


def _taus(decays: Ints, node: i.Programmable, what: str) -> Floats | None:
    """Time constants in timesteps, None where nothing leaks."""
    if not np.any(decays):
        return None
    if not np.all(decays):
        raise refusal(node, f"the {what} of some of its neurons leaks, that of others does not", HINT)
    return _wide(DECAY_UNITY / decays, node)


def _floor(node: i.Programmable, leaky: bool) -> Said:
    p = node.params
    if np.all(p.floor == NO_FLOOR) or p.most == 0:
        return {}
    if leaky and not np.any(p.floor):
        return {"floor": "zero"}
    if not leaky and np.all(p.floor == -p.threshold):
        return {"floor": "threshold"}
    raise refusal(node, "its floor is neither 0, of neurons that leak, nor -threshold, of neurons that do not", HINT)


def _start(node: i.Programmable) -> Said:
    p = node.params
    if not np.any(p.start):
        return {}
    if p.most > 0 and p.reset == "hard" and np.all(p.start == p.v_reset):
        return {"start": "v_reset"}
    return {"start": "v_leak"}


def _at_rest(
    node: i.Programmable, bias: Any, inner: Any, tau: Floats | None, tau_syn: Floats | None
) -> tuple[Any, Any]:
    """(bias, inner) of neurons that rest where they begin; their synapses add the rest of the bias."""
    p = node.params
    resting = p.start * p.dv / DECAY_UNITY
    left = inner - resting
    if tau is None:
        raise refusal(node, "its membrane begins at neither 0 nor its reset, and does not leak", HINT)
    if tau_syn is not None and np.any(left):
        raise refusal(node, "its membrane begins neither at 0 nor where it rests", HINT)
    return bias + left, resting


def _made(node: i.Programmable, parts: _Parts, dt: float, metadata: dict[str, Any]) -> nir.NIRNode:
    """Input gains are 1; of neurons that send their membrane, payload units in a current unit."""
    quiet, ones = node.params.most == 0, np.ones(nir_shape(node.out.shape))
    gain = ones * (UNIT * 2.0**node.params.shift if quiet else 1.0)
    fires = {} if quiet else {"v_threshold": parts.threshold, "v_reset": parts.v_reset}
    if parts.tau is None:
        return (nir.I if quiet else nir.IF)(r=gain / dt, **fires, metadata=metadata)
    common = {"r": gain * parts.tau, "v_leak": gain * parts.inner * parts.tau, **fires, "metadata": metadata}
    if parts.tau_syn is None:
        return (nir.LI if quiet else nir.LIF)(tau=dt * parts.tau, **common)
    kind = nir.CubaLI if quiet else nir.CubaLIF
    return kind(tau_syn=dt * parts.tau_syn, tau_mem=dt * parts.tau, w_in=parts.tau_syn, **common)


def _wide(values: Any, node: i.Programmable) -> Floats:
    """One value a neuron, in the layer's NIR shape."""
    shape: Shape = nir_shape(node.out.shape)
    return np.array(np.broadcast_to(np.asarray(values, np.float64), node.out.shape).reshape(shape))
