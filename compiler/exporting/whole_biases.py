"""A program whose biases are whole currents, for a format that has no finer ones. It is another program: it fires otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Change, Node
from pumice.compiler.program import Program
from pumice.hwsim.arith import MEMBRANE_SHIFT

PASS = "whole-biases"


def whole_biases(program: Program) -> Program:
    """`program` with every LIF layer's bias rounded to whole current units, halves to even; a lift of 1/64 for exact ties is
    lost. Its log says by how much each layer's changed. Run it to measure what that costs."""
    graph = program.graph
    rounded = {name: _rounded(node) for name, node in graph.nodes.items()}
    changes = tuple(_change(graph.nodes[name], node) for name, node in rounded.items() if node is not graph.nodes[name])
    return replace(program, graph=replace(graph, nodes=rounded, log=(*graph.log, *changes)))


def _rounded(node: Node) -> Node:
    if not isinstance(node, i.IntLif):
        return node
    bias = node.bias_mant << node.bias_exp
    if not np.any(bias % (1 << MEMBRANE_SHIFT)):
        return node
    whole = np.rint(bias / (1 << MEMBRANE_SHIFT)).astype(np.int64)
    return replace(node, bias_mant=whole, bias_exp=MEMBRANE_SHIFT)


def _change(old: Node, new: Node) -> Change:
    assert isinstance(old, i.IntLif)
    assert isinstance(new, i.IntLif)
    off = float(np.abs(old.bias - new.bias).max()) / (1 << MEMBRANE_SHIFT)
    text = f"{old.name}: biases rounded to whole currents, by up to {off:.3g}; its threshold is {old.vth}"
    return Change(PASS, old.name, text, {"largest": off, "vth": old.vth})
