"""The float executor: every NIR primitive against torch or a sum written out here; delays, cycles, several inputs and outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nir
import numpy as np
import pytest
import torch
from networks import TinySpikformer, images, tiny_spikformer
from numpy.typing import NDArray
from small_graphs import chain, cuba, fire, lif, ran, random_input, wired
from torch.nn import functional

from pumice.compiler import float_nodes as f
from pumice.compiler.evaluate import evaluate
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.readings import reading
from pumice.errors import InputError, RunError
from pumice.runtime.float_graph import graph_frames, run_graph

RNG = np.random.default_rng(3)
DT = 1e-4


def over_frames(function: Any, x: NDArray[Any]) -> NDArray[Any]:
    """A torch function on [N, …], for x [T, B, …]."""
    out = function(torch.from_numpy(x).flatten(0, 1))
    return np.asarray(out.unflatten(0, x.shape[:2]).numpy())


@pytest.mark.parametrize("padding", [0, 1, (2, 1), "valid"])
@pytest.mark.parametrize("dilation", [1, (2, 1)])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kernel", "stride"), [((3, 3), 1), ((3, 2), (2, 1)), ((1, 4), (1, 2))])
def test_conv2d(kernel: Any, stride: Any, groups: int, dilation: Any, padding: Any) -> None:
    weight, bias = RNG.normal(size=(6, 4 // groups, *kernel)), RNG.normal(size=6)
    x = random_input(2, 3, 4, 7, 9)
    out = over_frames(
        lambda v: functional.conv2d(v, torch.tensor(weight), torch.tensor(bias), stride, padding, dilation, groups), x
    )
    node = nir.Conv2d((7, 9), weight, stride, padding, dilation, groups, bias)
    assert np.allclose(ran(chain((4, 7, 9), out.shape[2:], conv=node), x)["conv"], out, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [(2, 4), (3, 3), (1, 1)])
def test_same_padding_puts_the_odd_zero_after_as_torch_does(kernel: tuple[int, int], dilation: int) -> None:
    weight, bias = RNG.normal(size=(5, 3, *kernel)), RNG.normal(size=5)
    x = random_input(1, 2, 3, 6, 8)
    out = over_frames(lambda v: functional.conv2d(v, torch.tensor(weight), torch.tensor(bias), 1, "same", dilation), x)
    node = nir.Conv2d((6, 8), weight, 1, "same", dilation, 1, bias)
    assert np.allclose(ran(chain((3, 6, 8), (5, 6, 8), conv=node), x)["conv"], out, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"),
    [(3, 1, 1, 1, 1), (4, 2, 0, 2, 2), (1, 1, 0, 1, 1), (2, 1, "same", 1, 4)],
)
def test_conv1d(kernel: int, stride: int, padding: Any, dilation: int, groups: int) -> None:
    weight, bias = RNG.normal(size=(8, 4 // groups, kernel)), RNG.normal(size=8)
    x = random_input(2, 2, 4, 11)
    out = over_frames(
        lambda v: functional.conv1d(v, torch.tensor(weight), torch.tensor(bias), stride, padding, dilation, groups), x
    )
    node = nir.Conv1d(11, weight, stride, padding, dilation, groups, bias)
    assert np.allclose(ran(chain((4, 11), out.shape[2:], conv=node), x)["conv"], out, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), ((3, 2), (2, 1), (1, 0)), (3, 3, 1)])
def test_pools(kernel: Any, stride: Any, padding: Any) -> None:
    x = random_input(2, 2, 3, 8, 7)
    mean = over_frames(lambda v: functional.avg_pool2d(v, kernel, stride, padding), x)
    sizes = [np.array(n) for n in (kernel, stride, padding)]
    area = np.prod(np.broadcast_to(kernel, 2))
    pooled = ran(chain((3, 8, 7), mean.shape[2:], a=nir.AvgPool2d(*sizes)), x)["a"]
    assert np.allclose(pooled, mean, rtol=0, atol=1e-12)
    pooled = ran(chain((3, 8, 7), mean.shape[2:], a=nir.SumPool2d(*sizes)), x)["a"]
    assert np.allclose(pooled, mean * area, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("start", "end"), [(0, -1), (1, 2), (0, 1), (-2, -1)])
def test_flatten_leaves_time_and_batch_alone(start: int, end: int) -> None:
    x = random_input(2, 3, 4, 5, 6)
    out = over_frames(lambda v: v.flatten(start + 1 if start >= 0 else start, end + 1 if end >= 0 else end), x)
    node = nir.Flatten({"input": np.array([4, 5, 6])}, start, end)
    assert np.array_equal(ran(chain((4, 5, 6), out.shape[2:], flat=node), x)["flat"], out)


def test_linear_maps_on_vectors_tokens_and_stacks_of_matrices() -> None:
    weight, bias = RNG.normal(size=(3, 5)), RNG.normal(size=3)
    vectors, tokens = random_input(2, 2, 5), random_input(2, 2, 7, 5)
    for x in (vectors, tokens):
        out = (*x.shape[2:-1], 3)
        made = ran(chain(x.shape[2:], out, fc=nir.Affine(weight, bias)), x)["fc"]
        assert np.allclose(made, x @ weight.T + bias, rtol=0, atol=1e-12)
        made = ran(chain(x.shape[2:], out, fc=nir.Linear(weight)), x)["fc"]
        assert np.allclose(made, x @ weight.T, rtol=0, atol=1e-12)
    stack = RNG.normal(size=(7, 3, 5))
    made = ran(chain((7, 5), (7, 3), fc=nir.Affine(stack, np.zeros((7, 3)))), tokens)["fc"]
    assert np.allclose(made, np.einsum("noi,tbni->tbno", stack, tokens), rtol=0, atol=1e-12)


def test_scale_and_threshold_work_elementwise() -> None:
    x = random_input(3, 2, 4, 5)
    scale, threshold = RNG.normal(size=(4, 5)), RNG.normal(size=(4, 5))
    assert np.array_equal(ran(chain((4, 5), (4, 5), s=nir.Scale(scale)), x)["s"], x * scale)
    made = ran(chain((4, 5), (4, 5), s=nir.Threshold(threshold)), x)["s"]
    assert np.array_equal(made, (x > threshold).astype(float))


def test_a_delay_gives_each_neuron_its_own_past() -> None:
    x = random_input(6, 2, 3)
    made = ran(chain((3,), (3,), d=nir.Delay(np.array([0, 1, 3]) * DT)), x)["d"]
    assert np.array_equal(made[..., 0], x[..., 0])
    assert np.array_equal(made[1:, :, 1], x[:-1, :, 1])
    assert np.array_equal(made[3:, :, 2], x[:-3, :, 2])
    assert not made[:1, :, 1].any()
    assert not made[:3, :, 2].any()


def test_integrators_follow_their_closed_forms() -> None:
    x = random_input(12, 2, 3)
    r = np.array([1.0, 2e3, 1e4])
    made = ran(chain((3,), (3,), i=nir.I(r)), x)["i"]
    assert np.allclose(made, DT * r * np.cumsum(x, 0), rtol=1e-12)
    tau, leak = np.array([2e-4, 1e-3, 1e-4]), np.array([0.0, -1.0, 0.5])
    made = ran(chain((3,), (3,), li=nir.LI(tau, r, leak)), x)["li"]
    a = DT / tau
    n = np.arange(12)
    kernel = np.where(n[:, None] >= n, 1.0, 0.0)[..., None] * (1 - a) ** np.clip(n[:, None] - n, 0, None)[..., None]
    assert np.allclose(made, np.einsum("tsn,sbn->tbn", kernel, a * (leak + r * x)), rtol=1e-9, atol=1e-12)


def by_hand(x: NDArray[Any], node: nir.CubaLIF | nir.CubaLI, fires: bool) -> NDArray[Any]:
    """NIR's equations by Euler's method, one neuron after another, in plain numbers."""
    out = np.zeros_like(x)
    for place in np.ndindex(*x.shape[1:]):
        n = place[1:]
        i = v = 0.0
        for t in range(len(x)):
            i += DT / node.tau_syn[n] * (-i + node.w_in[n] * x[(t, *place)])
            v += DT / node.tau_mem[n] * (node.v_leak[n] - v + node.r[n] * i)
            out[(t, *place)] = v
            if fires:
                out[(t, *place)] = v > node.v_threshold[n]
                v = node.v_reset[n] if v > node.v_threshold[n] else v
    return out


def test_current_based_neurons_with_their_own_parameters_each() -> None:
    shape, draw = (2, 3), np.random.default_rng(5).uniform
    arrays = {k: draw(1.5, 6, shape) * DT for k in ("tau_syn", "tau_mem")}
    arrays |= {k: draw(0.5, 2, shape) for k in ("r", "w_in")} | {"v_leak": draw(-0.2, 0.2, shape)}
    x = 2 * random_input(30, 2, *shape)
    node = nir.CubaLIF(**arrays, v_threshold=draw(0.2, 0.6, shape), v_reset=draw(-0.3, 0.1, shape))
    made = ran(chain(shape, shape, n=node), x)["n"]
    assert 0.05 < made.mean() < 0.9
    assert np.array_equal(made, by_hand(x, node, True))
    quiet = nir.CubaLI(**arrays)
    assert np.allclose(ran(chain(shape, shape, n=quiet), x)["n"], by_hand(x, quiet, False), rtol=0, atol=1e-12)


def test_a_sample_is_the_same_alone_and_in_a_batch() -> None:
    x = random_input(9, 4, 5)
    graph = chain(
        (5,), (2,), a=lif((5,)), fc=nir.Linear(RNG.normal(size=(3, 5))), b=cuba((3,)), o=nir.Linear(np.ones((2, 3)))
    )
    together = ran(graph, x)["output"]
    alone = [ran(graph, x[:, b : b + 1])["output"] for b in range(4)]
    assert np.allclose(together, np.concatenate(alone, 1), rtol=0, atol=1e-12)


def test_on_a_cycle_of_weight_zero_every_layer_gives_what_it_gives_without() -> None:
    """Cycles run step by step, the rest layer by layer: the two must agree on every kind of node."""
    rng = np.random.default_rng(0)
    x = 3 * random_input(7, 2, 2, 6, 6)
    layers = {
        "conv": nir.Conv2d((6, 6), rng.normal(size=(2, 2, 3, 2)), 1, "same", (1, 2), 1, rng.normal(size=2)),
        "n1": lif((2, 6, 6), tau=rng.uniform(1, 4, (2, 6, 6)) * DT),
        "scale": nir.Scale(rng.normal(size=(2, 6, 6))),
        "late": nir.Delay(rng.integers(0, 3, (2, 6, 6)) * DT),
        "thr": nir.Threshold(np.full((2, 6, 6), 0.1)),
        "pool": nir.AvgPool2d(np.array([3, 3]), np.array([1, 1]), np.array([1, 1])),
        "n2": cuba((2, 6, 6), v_threshold=np.full((2, 6, 6), 0.02)),
    }
    straight = chain((2, 6, 6), (2, 6, 6), **layers)
    cyclic = wired(
        {**straight.nodes, "zero": nir.Scale(np.zeros((2, 6, 6)))}, [*straight.edges, ("n2", "zero"), ("zero", "conv")]
    )
    plain, looped = ran(straight, x), ran(cyclic, x)
    assert plain["n2"].any()
    for name in layers:
        assert np.allclose(plain[name], looped[name], rtol=0, atol=1e-12), name


def recurrent(start: str) -> NDArray[Any]:
    """A neuron that feeds itself through an Affine, by hand. x: 0 throughout."""
    bias, weight, v, spike, out = 0.7, 0.9, 0.0, 0.0, []
    for t in range(8):
        v += bias + weight * spike if t or start == "bias" else 0.0
        spike = float(v > 1)
        v = 0.0 if spike else v
        out.append(spike)
    return np.array(out)


@pytest.mark.parametrize("start", ["zero", "bias"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_recurrent_edge_is_one_step_late(start: str, nested: bool) -> None:
    layer = nir.Affine(np.array([[0.9]]), np.array([0.7]))
    inner = {"lif": fire(), "w": layer}
    loop = [("lif", "w"), ("w", "lif")]
    ends = {"input": nir.Input(np.array([1])), "output": nir.Output(np.array([1]))}
    if nested:
        body = wired({**inner, **ends}, [("input", "lif"), ("lif", "output"), *loop])
        graph, name = wired({**ends, "rnn": body}, [("input", "rnn"), ("rnn", "output")]), "rnn.lif"
    else:
        graph, name = wired({**ends, **inner}, [("input", "lif"), ("lif", "output"), *loop]), "lif"
    made = ran(graph, np.zeros((8, 1, 1)), recurrence=start)
    assert np.array_equal(made[name][:, 0, 0], recurrent(start))
    assert np.array_equal(made["output"], made[name])


def test_a_delay_on_a_cycle_is_the_cycle_s_delay_and_needs_no_reading_for_it() -> None:
    nodes = {
        "input": nir.Input(np.array([1])),
        "sum": nir.Scale(np.ones(1)),
        "half": nir.Scale(np.array([0.5])),
        "wait": nir.Delay(np.array([3 * DT])),
        "output": nir.Output(np.array([1])),
    }
    edges = [("input", "sum"), ("sum", "half"), ("half", "wait"), ("wait", "sum"), ("sum", "output")]
    x = random_input(10, 2, 1)
    wanted = x.copy()
    for t in range(3, 10):
        wanted[t] += 0.5 * wanted[t - 3]
    assert np.allclose(ran(wired(nodes, edges), x, recurrence="none")["output"], wanted, rtol=0, atol=1e-12)


def test_residual_edges_several_inputs_and_several_outputs() -> None:
    nodes = {
        "left": nir.Input(np.array([3])),
        "right": nir.Input(np.array([3])),
        "scale": nir.Scale(np.full(3, 2.0)),
        "sum": nir.Output(np.array([3])),
        "one": nir.Output(np.array([3])),
    }
    edges = [("left", "scale"), ("right", "scale"), ("scale", "sum"), ("left", "sum"), ("right", "one")]
    graph = import_nir(wired(nodes, edges), reading("nir"))
    x, y = random_input(4, 2, 3), random_input(4, 2, 3, seed=1)
    run = run_graph(graph, {"left": x, "right": y})
    assert np.allclose(run.outputs["sum"], 2 * (x + y) + x, rtol=0, atol=1e-12)
    assert np.array_equal(run.outputs["one"], y)


def test_nested_graphs_are_their_nodes_under_dotted_names() -> None:
    ends = {"in": nir.Input(np.array([2])), "out": nir.Output(np.array([2]))}
    deep = wired({**ends, "x2": nir.Scale(np.full(2, 2.0))}, [("in", "x2"), ("x2", "out")])
    middle = wired({**ends, "deep": deep}, [("in", "deep"), ("deep", "out"), ("in", "out")])
    graph = chain((2,), (2,), mid=middle, last=nir.Scale(np.full(2, 10.0)))
    x = random_input(3, 1, 2)
    made = ran(graph, x)
    assert np.allclose(made["mid.deep.x2"], 2 * x)
    assert np.allclose(made["output"], 30 * x)


@pytest.mark.parametrize("gated", [True, False])
def test_the_dialect_means_what_the_compiler_s_own_evaluation_says(gated: bool) -> None:
    config = TinySpikformer(pool=True, size=6)
    graph = import_nir(tiny_spikformer(config), reading("sinabs"))  # the file says all, so the reading changes nothing
    if not gated:
        nodes = {
            n.name: f.Add(n.name, n.inputs[:1], n.out, n.source) if isinstance(n, f.TokenGate) else n
            for n in graph.nodes.values()
        }
        graph = replace(graph, nodes=nodes)
    samples = images(config, 3)
    frames, batched = graph_frames(graph, {"input": samples})
    assert batched
    run = run_graph(graph, frames)
    wanted = evaluate(graph, samples)
    assert set(run.values) == set(wanted.values)
    for name, values in wanted.values.items():
        assert np.allclose(run.values[name], values, rtol=0, atol=1e-9), name


def test_token_gates_beside_general_nodes_are_refused() -> None:
    network = tiny_spikformer(TinySpikformer())
    network.nodes["lif0"] = lif((8, 4, 4))
    graph = import_nir(network, reading("snntorch", reset="subtract"))
    with pytest.raises(RunError, match="'lif0' in a graph with token gates"):
        run_graph(graph, {"input": np.zeros((4, 1, 1, 4, 4))})


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 3)), r"shape \(4, 3\), the network takes \[T, 2\] or \[samples, T, 2\]"),
        (np.zeros(2), r"shape \(2,\), the network takes"),
        (np.full((4, 2), np.nan), "holds NaN or infinity"),
        (np.zeros((0, 2)), "the network takes"),
    ],
)
def test_frames_that_do_not_fit_are_refused(x: NDArray[Any], message: str) -> None:
    graph = import_nir(chain((2,), (2,), a=lif((2,))), reading("nir"))
    with pytest.raises(InputError, match=message):
        run_graph(graph, graph_frames(graph, {"input": x})[0])


def test_an_input_that_is_not_given_is_named() -> None:
    graph = import_nir(chain((2,), (2,), a=lif((2,))), reading("nir"))
    with pytest.raises(InputError, match="no input for 'input'"):
        graph_frames(graph, {"other": np.zeros((4, 2))})
