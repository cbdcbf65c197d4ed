"""A graph as text, one line a node: for golden tests, reviews and bug reports."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from pumice.compiler.ir import Graph, Node

COMMON = ("name", "inputs", "out", "source")


def graph_text(graph: Graph) -> str:
    """The graph at its stage; arrays as shape and checksum, so that a changed weight changes the text."""
    head = f"stage {graph.stage}, {graph.timesteps} timesteps, {graph.encoding}, output {graph.output}"
    return "\n".join([head, *(_line(node) for node in graph.nodes.values())]) + "\n"


def _line(node: Node) -> str:
    values = [f"{f.name}={_value(getattr(node, f.name))}" for f in fields(node) if f.name not in COMMON]
    return f"{node.name} = {type(node).__name__}({', '.join(node.inputs)}) {' '.join(values)} : {node.out}".replace(
        "  ", " "
    )


def _value(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}#{np.asarray(value, np.float64).sum():.6g}"
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace(" ", "")
