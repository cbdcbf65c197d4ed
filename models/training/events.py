"""An event stream made from the digits: each one seen by a simulated event camera that moves in a small circle.

How a stream of T frames is made, image by image:
1. The camera takes T + 1 positions on a circle, evenly spaced, one full turn. The radius (digit pixels, `RADII`), the start
   angle and the sense of rotation are random, so every edge of the digit moves across the sensor in either direction.
2. At each position the 8 x 8 digit is read bilinearly at `size` x `size` points; outside it is dark.
3. Each sensor pixel remembers the logarithm of the intensity, ln(`DARK` + I), at which it last fired (at first: position 0).
   Where position t differs from it by at least `THRESHOLD`, the pixel fires in frame t, channel 0 (ON) for brighter and
   channel 1 (OFF) for darker, and remembers the new value: at most one event per pixel and frame, as after binning.

This is the pixel of Lichtsteiner, Posch and Delbrueck (IEEE JSSC 2008), without noise, refractory time or mismatch, and the
recording by camera movement of Orchard et al. (N-MNIST, Frontiers in Neuroscience 2015) with a circle for the saccades.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.training.digits import SIZE, Samples, read_digits, split_digits

RADII = (0.25, 0.5)  # of the circle, lowest and highest, in digit pixels
DARK = 0.1  # what a dark pixel still emits; the brightest emits 1.1
THRESHOLD = 0.6  # of ln intensity: brighter by a factor of 1.8, or darker


@dataclass(frozen=True)
class EventDigits:
    """The digits as events, cut like `Digits`: binary frames float32 `[samples, T, 2, H, W]`, channels ON and OFF."""

    fit: Samples
    validation: Samples
    calibration: Samples
    test: Samples


def load_event_digits(size: int = 49, steps: int = 8, seed: int = 0, recordings: int = 1) -> EventDigits:
    """The event stream of `steps` frames of `size` x `size` pixels. Same arguments, same events; the split is the digits'.

    recordings: how often each image of `fit` is seen, each time on another circle; the other cuts have one recording each.
    Raises InputError for a size below 8, no steps or no recordings, BackendUnavailable without scikit-learn.
    """
    if size < SIZE or steps < 1 or recordings < 1:
        raise InputError(
            f"event digits: size {size}, steps {steps}, recordings {recordings}",
            f"size is at least {SIZE}, the others at least 1",
        )
    images, labels = read_digits()
    cuts = split_digits(labels)

    def cut(chosen: NDArray[np.int64], count: int = 1) -> Samples:
        paths = [circles(len(labels), steps, seed, recording)[chosen] for recording in range(count)]
        frames = torch.cat([events(seen_from(images[chosen], path, size)) for path in paths])
        return Samples(frames, torch.from_numpy(labels[chosen]).repeat(count))

    return EventDigits(cut(cuts.fit, recordings), cut(cuts.validation), cut(cuts.calibration), cut(cuts.test))


def circles(samples: int, steps: int, seed: int, recording: int = 0) -> Tensor:
    """Camera positions (x, y) in digit pixels, float32 `[samples, T + 1, 2]`; the last is the first again."""
    draw = np.random.default_rng([seed, recording])
    radius = draw.uniform(*RADII, size=(samples, 1))
    start = draw.uniform(0, 2 * math.pi, size=(samples, 1))
    sense = draw.choice([-1.0, 1.0], size=(samples, 1))
    angle = start + sense * 2 * math.pi * np.arange(steps + 1) / steps
    return torch.from_numpy(np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).astype(np.float32))


def seen_from(images: Tensor, path: Tensor, size: int) -> Tensor:
    """What the sensor sees at every position: images `[B, 1, h, w]`, path `[B, P, 2]` in their pixels; `[P, B, size, size]`."""
    height, width = images.shape[2:]
    pixels = torch.tensor([width, height], dtype=torch.float32)
    still = torch.eye(2, 3).expand(len(images), 2, 3)
    grid = nn.functional.affine_grid(still, [len(images), 1, size, size], align_corners=False)
    views = [
        nn.functional.grid_sample(images, grid + (path[:, k] * 2 / pixels)[:, None, None], align_corners=False)[:, 0]
        for k in range(path.shape[1])
    ]
    return torch.stack(views)


def events(views: Tensor) -> Tensor:
    """Events between successive views `[T + 1, B, H, W]` of intensities in [0, 1]: 0/1, float32 `[B, T, 2, H, W]`."""
    levels = torch.log(views + DARK)
    memory = levels[0]
    frames = []
    for level in levels[1:]:
        change = level - memory
        fired = torch.stack([change >= THRESHOLD, change <= -THRESHOLD], 1)
        memory = torch.where(fired.any(1), level, memory)
        frames.append(fired)
    return torch.stack(frames, 1).float()
