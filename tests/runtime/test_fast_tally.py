"""What `fast` notes of a product for the counts, beside the tally of a walk."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from one_node import OPERANDS, batch_of, by_fast, by_walk, drawn, graph_of, of

from pumice.compiler import int_nodes as i
from pumice.runtime.fast.tally import Notes
from pumice.runtime.tally import Wanted, tally_of


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(OPERANDS)),
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2, 63, 64, 65])),
    st.sampled_from([(1, 1), (4, 1), (127, 255), (255, 4), (1 << 13, 255), (1 << 20, 1 << 14)]),
)
def test_coincidences_and_products(seed: int, pattern: Any, sizes: tuple[int, int, int, int], most: Any) -> None:
    """Also of sums that 32 bits do not hold."""
    rng = np.random.default_rng(seed)
    a, b, shape = OPERANDS[pattern](*sizes)
    types = [of(a, 0, most[0]), of(b, 0, most[1])]
    node = i.SpikeMatmul("n", ("a", "b"), of(shape, 0, 1 << 60), "n", pattern, sizes[0], 0)
    graph, names = graph_of(node, *types), Wanted(("a",), ("b",), (), ("n",), (), ())
    inputs = {name: drawn(out, rng) for name, out in zip("ab", types, strict=True)}
    values = inputs | {"n": by_walk(graph, node, list(inputs.values()))[0]}
    assert np.array_equal(by_fast(graph, node, list(inputs.values()))[0], values["n"])
    wanted = tally_of(graph, names, values, {})
    batch, notes = batch_of(graph, inputs), Notes(names)
    batch.values["n"] = batch.values["a"]  # only the operands are looked at
    for name in graph.nodes:
        notes.see(batch, graph.nodes[name])
    found = notes.tally(batch)
    for field in ("coincidences", "products", "events", "payloads"):
        one, other = getattr(found, field), getattr(wanted, field)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name].reshape(other[name].shape), other[name]) for name in other), field
