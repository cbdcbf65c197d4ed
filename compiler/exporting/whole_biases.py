"""A program whose biases are whole currents, for a format that has no finer ones. It is another program: it fires otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Change, Node
from pumice.compiler.program import Program
from pumice.hwsim.arith import MEMBRANE_SHIFT

PASS = "whole-biases"


def whole_biases(program: Program) -> Program:
    """`program` with every layer's bias rounded to whole current units, halves to even; a lift of 1/64 for exact ties is
    lost. Its log says by how much each layer's changed. Run it to measure what that costs."""
    graph = program.graph
    rounded = {name: _rounded(node) for name, node in graph.nodes.items()}
    changes = tuple(_change(graph.nodes[name], node) for name, node in rounded.items() if node is not graph.nodes[name])
    return replace(program, graph=replace(graph, nodes=rounded, log=(*graph.log, *changes)))


def _rounded(node: Node) -> Node:
    if isinstance(node, i.Programmable):
        return _rounded_program(node)
    if not isinstance(node, i.IntLif):
        return node
    bias = node.bias_mant << node.bias_exp
    if not np.any(bias % (1 << MEMBRANE_SHIFT)):
        return node
    whole = np.rint(bias / (1 << MEMBRANE_SHIFT)).astype(np.int64)
    return replace(node, bias_mant=whole, bias_exp=MEMBRANE_SHIFT)


def _rounded_program(node: i.Programmable) -> i.Programmable:
    """Programmable neurons add biases in two places."""
    p, unit = node.params, 1 << MEMBRANE_SHIFT
    if not np.any(p.bias % unit) and not np.any(p.current_bias % unit):
        return node
    bias, into = (np.rint(values / unit).astype(np.int64) * unit for values in (p.bias, p.current_bias))
    return replace(node, params=replace(p, bias=bias, current_bias=into))


def _change(old: Node, new: Node) -> Change:
    off = max(float(np.abs(a - b).max()) for a, b in zip(_biases(old), _biases(new), strict=True))
    text = f"{old.name}: biases rounded to whole currents, by up to {off:.3g}; its threshold is {_threshold(old):g}"
    return Change(PASS, old.name, text, {"largest": off, "vth": _threshold(old)})


def _biases(node: Node) -> tuple[Any, ...]:
    """In current units."""
    assert isinstance(node, i.IntLif | i.Programmable)
    found = (node.bias,) if isinstance(node, i.IntLif) else (node.params.bias, node.params.current_bias)
    return tuple(values / (1 << MEMBRANE_SHIFT) for values in found)


def _threshold(node: Node) -> float:
    """In current units; the least, where they differ."""
    if isinstance(node, i.Programmable):
        return float(node.params.threshold.min()) / (1 << MEMBRANE_SHIFT)
    assert isinstance(node, i.IntLif)
    return node.vth
