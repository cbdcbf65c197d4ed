"""Two panels of the demo's picture, and the families of layers.

Colours: Paul Tol's "bright" scheme, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pumice.runtime.picture import DemoPicture

INK, MUTED, FREE = "#22262B", "#6B7178", "#E7E4DC"
WRONG = "#B3123F"
MAX_SAMPLES, MAX_BARS = 10, 32
GAP = 0.12  # between little images, in their widths

# Layer families, in the order of the legend: colour, and the layer names that belong.
FAMILIES: dict[str, tuple[str, re.Pattern[str]]] = {
    "patch embedding": (
        "#4477AA",
        re.compile(r"^(?!block|stage|head|spike$).*(lif|pool|conv|spike)\d?$|\.conv\.spike\d$"),
    ),
    "queries, keys, values": ("#66CCEE", re.compile(r"^(block|stage).*\.([qkv]|shortcut|head)_(lif|spike)$")),
    "attention": ("#AA3377", re.compile(r"(attn|talking_heads)_(lif|spike)$|\.(scores|context|qk?_gate)$")),
    "projection": ("#228833", re.compile(r"^(block|stage).*proj_lif$")),
    "MLP": ("#CCBB44", re.compile(r"(fc|mlp)\d_(lif|spike)$")),
    "read-out": ("#EE6677", re.compile(r"^(head|spike|token_mean|time_mean|output|readout)")),
    "residual sums": ("#8A8F94", re.compile(r"")),
}
Color = NDArray[np.float64]


def family_of(layer: str) -> str:
    """The family of a layer, by its name."""
    return next(name for name, (_, pattern) in FAMILIES.items() if pattern.search(layer))


def draw_tokens(axes: Any, picture: DemoPicture) -> None:
    """A row per digit: the image, then per block and timestep the image with its routed tokens glowing."""
    rows = min(len(picture.images), MAX_SAMPLES)
    steps = next(iter(picture.masks.values())).shape[0] if picture.masks else 0
    starts = [1.75 + index * (steps * (1 + GAP) + 0.45) for index in range(len(picture.masks))]
    for row in range(rows):
        top = row * (1 + GAP)
        _place(axes, _inked(picture.images[row]), 0.5, top)
        _label(axes, int(picture.labels[row]), int(picture.predictions[row]), top + 0.5)
        for start, mask in zip(starts, picture.masks.values(), strict=True):
            for t in range(steps):
                _place(axes, routed(picture.images[row], mask[t, row]), start + t * (1 + GAP), top)
    _token_heads(axes, picture, starts, steps)
    right = starts[-1] + steps * (1 + GAP) if starts else 2.0
    axes.set_xlim(-0.35, right)
    axes.set_ylim(rows * (1 + GAP), -0.62)
    axes.set_aspect("equal", anchor="NW")
    axes.set_xticks([])
    axes.set_yticks([])


def _token_heads(axes: Any, picture: DemoPicture, starts: list[float], steps: int) -> None:
    axes.text(1.0, -0.12, "input", fontsize=9, color=MUTED, ha="center")
    for block, start in zip(picture.masks, starts, strict=True):
        share = float(np.mean(picture.masks[block]))
        middle = start + (steps * (1 + GAP) - GAP) / 2
        title = f"block {block} · {share:.0%} of tokens" if steps > 2 else f"{block} · {share:.0%}"
        axes.text(middle, -0.42, title, fontsize=10, color=INK, ha="center", weight="bold")
        for t in range(steps):
            axes.text(start + t * (1 + GAP) + 0.5, -0.12, f"t = {t}", fontsize=9, color=MUTED, ha="center")


def _label(axes: Any, label: int, prediction: int, y: float) -> None:
    right = label == prediction
    axes.text(
        0.08, y, str(prediction), fontsize=17, color=INK if right else WRONG, ha="center", va="center", weight="bold"
    )
    if not right:
        axes.text(0.08, y + 0.32, f"is {label}", fontsize=8, color=WRONG, ha="center", va="center")


def _place(axes: Any, image: Color, x: float, y: float) -> None:
    axes.imshow(image, extent=(x, x + 1, y + 1, y), interpolation="nearest", zorder=2)


def _rgb(color: str) -> Color:
    return np.array([int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)])


def _blend(low: str, high: str, share: NDArray[Any]) -> Color:
    """Colours [H, W, 3] between `low` and `high`."""
    return np.asarray(_rgb(low) + (_rgb(high) - _rgb(low)) * share[..., None])


def _inked(image: NDArray[Any]) -> Color:
    return _blend("#FFFFFF", INK, np.clip(image, 0, 1))


def routed(image: NDArray[Any], mask: NDArray[np.bool_]) -> Color:
    """The image [H, W] as colours [H, W, 3], routed tokens of mask [h, w] on a warm ground, the others faded."""
    rows = np.arange(image.shape[0]) * mask.shape[0] // image.shape[0]
    columns = np.arange(image.shape[1]) * mask.shape[1] // image.shape[1]
    on = mask[np.ix_(rows, columns)][..., None]
    ink = np.clip(image, 0, 1)
    return np.asarray(np.where(on, _blend("#FFC46B", "#4A1500", ink), _blend("#F1EFEA", "#CFCCC5", ink)))


def draw_energy(axes: Any, picture: DemoPicture) -> None:
    """A row per layer: pruned as a bar in its family's colour, unpruned as its outline."""
    from pumice.runtime.picture import energy_unit

    layers = _largest(picture.energy[picture.bars])
    positions = np.arange(len(layers))
    colors = [FAMILIES[family_of(name)][0] for name in layers]
    axes.barh(positions, [pair[1] for pair in layers.values()], 0.74, color="none", edgecolor="#A9ADB2", linewidth=0.9)
    axes.barh(positions, [pair[0] for pair in layers.values()], 0.74, color=colors, alpha=0.92)
    axes.set_yticks(
        positions, [short(name) for name in layers], fontsize=min(8.5, 210 / max(len(layers), 1)), color=INK
    )
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.tick_params(axis="both", length=0)
    axes.tick_params(axis="x", labelsize=8, colors=MUTED)
    size, unit = energy_unit(max((pair[1] for pair in layers.values()), default=0.0))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / size:g} {unit}" if value else "0")
    axes.grid(axis="x", color="#E3E0D8", linewidth=0.8)
    axes.set_axisbelow(True)


def _largest(layers: Any) -> dict[str, tuple[float, float]]:
    """All layers in their order, or the MAX_BARS - 1 largest and the sum of the others."""
    if len(layers) <= MAX_BARS:
        return dict(layers)
    kept = sorted(layers, key=lambda name: -layers[name][1])[: MAX_BARS - 1]
    rest = [pair for name, pair in layers.items() if name not in kept]
    found = {name: pair for name, pair in layers.items() if name in kept}
    return found | {f"{len(rest)} others": (sum(p[0] for p in rest), sum(p[1] for p in rest))}


def short(name: str) -> str:
    """A layer's name without what its place says already: "block.0.attn.q_lif" is "block 0 q"."""
    if not name.endswith(".residual"):  # a block has one after its attention and one after its MLP
        name = name.replace(".attn.", ".").replace(".mlp.", ".")
    return name.replace("_lif", "").replace("patch_embed", "embed").replace(".", " ")


def draw_totals(figure: Any, picture: DemoPicture, left: float, top: float) -> None:
    """A line per profile: its total energy without and with pruning."""
    from pumice.runtime.picture import change, joules, totals

    ordered = sorted(totals(picture).items(), key=lambda entry: entry[0] != picture.bars)
    for row, (title, (pruned, unpruned)) in enumerate(ordered):
        y = top - 0.021 * row
        mark = ", unpublished terms left out" if title in picture.incomplete else ""
        color = INK if title == picture.bars else MUTED
        drawn = "drawn above: " if title == picture.bars else ""
        figure.text(left, y, f"{drawn}{title}{mark}", fontsize=9, color=color)
        figure.text(0.930, y, f"{joules(unpruned)} → {joules(pruned)}", fontsize=9, color=color, ha="right")
        figure.text(0.975, y, change(pruned, unpruned), fontsize=9, color=color, ha="right", weight="bold")
