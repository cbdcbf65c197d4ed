"""Time per step of Lava's stock `Sparse` and `Conv` on the same token-wise layer, interleaved. For decision 0008."""

from __future__ import annotations

import statistics
import time

import numpy as np


def main() -> None:
    """Prints min, median and max milliseconds per step over interleaved repeats."""
    import scipy.sparse
    from lava.proc.conv import utils

    rng = np.random.default_rng(0)
    inputs, outputs, tokens = 48, 192, 64
    weight = 2 * rng.integers(-127, 128, (outputs, inputs))
    matrix = scipy.sparse.csr_matrix(np.kron(weight, np.eye(tokens, dtype=np.int64)))
    spikes = (rng.random((inputs, tokens)) < 0.1).astype(np.int32)
    kernel, image = weight[:, None, None, :].astype(np.int32), spikes.T[:, None, :]
    times: dict[str, list[float]] = {"sparse": [], "conv": []}
    for _ in range(7):
        times["sparse"].append(_milliseconds(lambda: matrix.dot(spikes.ravel()), 20))
        times["conv"].append(_milliseconds(lambda: utils.conv(image, kernel, (1, 1), (1, 1), (0, 0), (1, 1), 1), 2))
    for name, values in times.items():
        print(
            f"{name:7} min {min(values):.2f}  median {statistics.median(values):.2f}  max {max(values):.2f} ms per step"
        )


def _milliseconds(call: object, repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        call()  # type: ignore[operator]
    return (time.perf_counter() - started) / repeats * 1000


if __name__ == "__main__":
    main()
