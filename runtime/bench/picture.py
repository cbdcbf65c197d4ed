"""The picture of a benchmark: images a second, what pruning saves, what time grows with. One PNG of 1600 x 1000 pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pumice.runtime.bench.numbers import exponent
from pumice.runtime.pareto_picture import bare_axes
from pumice.runtime.picture import DPI, INK, MUTED, PAPER, SIZE
from pumice.runtime.png import write_png

COLOURS = {
    "fast": "#4477AA",
    "torch": "#228833",
    "float": "#EE6677",
    "reference": "#CCBB44",
    "lava": "#AA3377",
}  # Tol's "bright"
MODELS = ("#4477AA", "#EE6677", "#228833")
Found = Mapping[str, Any]


def draw_bench(path: Path, said: Found) -> None:
    """Draws what `pumice bench` wrote as a PNG at `path`, whole or not at all.

    Raises BackendUnavailable without matplotlib, InputError where `path` cannot be written.
    """
    write_png(path, SIZE, DPI, PAPER, lambda figure: _fill(figure, said))


def _fill(figure: Any, said: Found) -> None:
    figure.text(0.040, 0.940, "Executors side by side", fontsize=22, fontweight="bold", color=INK)
    machine = said["machine"]
    who = f"{machine['processor']}, {machine['cores']} cores, {said['threads']} threads; {said['command']}"
    figure.text(0.041, 0.912, f"{who}; whiskers: least and most of the rounds", fontsize=10.5, color=MUTED)
    _rates(_axes(figure, (0.060, 0.545, 0.560, 0.310), "images/s, unpruned and pruned"), said)
    _savings(_axes(figure, (0.780, 0.545, 0.190, 0.310), "× quicker, fast"), said)
    for at, (name, label) in enumerate(
        (("batch", "images in a batch"), ("tokens", "share of tokens kept"), ("timesteps", "timesteps"))
    ):
        axes = _axes(figure, (0.060 + 0.320 * at, 0.095, 0.270, 0.320), f"seconds of fast by {label}")
        _growth(axes, said, name, label)


def _axes(figure: Any, place: tuple[float, float, float, float], title: str) -> Any:
    axes = bare_axes(figure, place)
    axes.set_title(title, fontsize=11, color=INK, loc="left", fontweight="bold")
    return axes


def _rates(axes: Any, said: Found) -> None:
    """Bars of images a second, a group for each variant on which executors ran."""
    groups = [
        (model, name, variant["images_per_s"])
        for model, found in said["models"].items()
        for name, variant in found["variants"].items()
        if variant["images_per_s"]
    ]
    width = 0.8 / len(COLOURS)
    for at, (who, colour) in enumerate(COLOURS.items()):
        there = [(k + (at - 2) * width, rates[who]) for k, (_, _, rates) in enumerate(groups) if who in rates]
        if there:
            _bars(axes, there, width, colour, who)
    axes.set_yscale("log")
    axes.set_xticks(range(len(groups)), [name.replace(" ", "\n") for _, name, _ in groups], fontsize=8)
    for model in dict.fromkeys(model for model, _, _ in groups):
        places = [k for k, (of, _, _) in enumerate(groups) if of == model]
        middle = (places[0] + places[-1]) / 2
        axes.text(
            middle, -0.17, model, fontsize=9.5, color=INK, ha="center", va="top", transform=axes.get_xaxis_transform()
        )
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=5, fontsize=9, frameon=False, labelcolor=INK)


def _bars(axes: Any, bars: Sequence[tuple[float, Found]], width: float, colour: str, label: str) -> None:
    places, heights = [x for x, _ in bars], [rate["median"] for _, rate in bars]
    below = [rate["median"] - rate["min"] for _, rate in bars]
    above = [rate["max"] - rate["median"] for _, rate in bars]
    whiskers = {"ecolor": INK, "elinewidth": 0.9}
    axes.bar(places, heights, width * 0.92, color=colour, label=label, yerr=(below, above), error_kw=whiskers)


def _savings(axes: Any, said: Found) -> None:
    """What pruning saves: in the blocks, and of the whole network."""
    names = {
        "retention_half_speedup": "½ tokens, blocks",
        "retention_half_speedup_network": "½ tokens, network",
        "density_tenth_speedup": "⅒ weights, blocks",
        "density_tenth_speedup_network": "⅒ weights, network",
    }
    found = [(label, said["spreads"][name]) for name, label in names.items() if name in said["spreads"]]
    for at, (_, ratio) in enumerate(found):
        spread = ([ratio["median"] - ratio["min"]], [ratio["max"] - ratio["median"]])
        axes.barh(
            at, ratio["median"], 0.6, color=COLOURS["fast"], xerr=spread, error_kw={"ecolor": INK, "elinewidth": 0.9}
        )
        axes.text(ratio["max"] + 0.05, at, f"{ratio['median']:.2f}", fontsize=9, color=INK, va="center")
    axes.set_yticks(range(len(found)), [label for label, _ in found], fontsize=9)
    axes.invert_yaxis()
    axes.axvline(1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))


def _growth(axes: Any, said: Found, name: str, label: str) -> None:
    """A series for each model, on logarithmic axes, with its exponent."""
    for colour, (model, found) in zip(MODELS, said["models"].items(), strict=False):
        series = sorted(found["growth"][name]["seconds"])
        if len({size for size, _ in series}) < 2:
            continue
        sizes, costs = zip(*series, strict=True)
        power = exponent(sizes, costs)
        axes.plot(sizes, costs, marker="o", markersize=4, linewidth=1.4, color=colour, label=f"{model}: ^{power:.2f}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(label, fontsize=9.5, color=INK)
    axes.legend(loc="upper left", fontsize=8.5, frameon=False, labelcolor=INK)
