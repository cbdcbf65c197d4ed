"""Parts of a population that stay in a core's cache while its neurons take their steps."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

VALUES = 1 << 15  # of a part, 256 KiB of 8 bytes each


def tiles(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Samples and channels of each part of values [B, C, …]."""
    samples, channels, positions = shape[0], shape[1], prod(shape[2:])
    few = min(channels, max(1, VALUES // max(positions, 1)))
    some = max(1, VALUES // max(few * positions, 1)) if few == channels else 1
    for b in range(0, samples, some):
        for c in range(0, channels, max(few, 1)):
            yield slice(b, b + some), slice(c, c + few)
