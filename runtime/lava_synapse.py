"""Stock Lava synapses of a convolution: `Sparse`, unrolled, or `Conv`. Both compute the same integers. Where weights are lists of
each sign, or sums of several synapses, each list is a Process, and their currents meet in the neurons' InPort.

`Conv` in lava-nc 0.10.0 calls scipy once per pair of channels and step: hundreds of milliseconds where `Sparse` takes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from lava.proc.conv.process import Conv
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from pumice.compiler.int_nodes import OneToOne, Synapse
from pumice.compiler.ir import TensorType
from pumice.hwsim import arith
from pumice.runtime.lava_job import SynapseProcess

SIGN_MODES = {0: SignMode.MIXED, 1: SignMode.EXCITATORY, -1: SignMode.INHIBITORY}
PAYLOAD_BITS = 24  # of a graded spike; 0 makes Lava count any nonzero input as 1


def synapse(source: Any, node: Synapse, x: TensorType, process: SynapseProcess) -> tuple[Any, ...]:
    """Stock Processes for `node`, fed by OutPort `source` that carries `x`; returns the OutPorts of their currents."""
    return tuple(_stock(source, part, sign, x, process) for sign, part in one_synapse_each(node))


def one_synapse_each(node: Synapse) -> Iterator[tuple[SignMode, Synapse]]:
    """A node as several, whose weights one synapse each can hold."""
    lists = list(arith.synapse_lists(node.weight, node.signs)) or [(0, node.weight)]
    for index, (sign, weight) in enumerate(lists):
        name = node.name if len(lists) == 1 else f"{node.name}.{index}"
        yield SIGN_MODES[sign], replace(node, name=name, weight=weight)


def _stock(source: Any, node: Synapse, sign: SignMode, x: TensorType, process: SynapseProcess) -> Any:
    """One stock Process. Binary spikes are the payloads 0 and 1: the binary mode of Sparse slices the matrix anew every step."""
    if process == "sparse":
        matrix = unrolled(node, x.shape)
        sparse = Sparse(weights=matrix, sign_mode=sign, num_message_bits=PAYLOAD_BITS, name=node.name)
        source.connect(sparse.s_in)
        return sparse.a_out
    conv = stock_conv(node, x.shape, 0 if x.dtype == "spike" else PAYLOAD_BITS)
    source.reshape(image(x.shape)).transpose((2, 1, 0)).connect(conv.s_in)
    return conv.a_out.transpose((2, 1, 0)).flatten()


def one_to_one(source: Any, node: OneToOne) -> Any:
    """A stock `Sparse` of ones on the diagonal, fed by OutPort `source`; returns the OutPort of its currents.

    Mixed signs make even weights only, so these synapses are excitatory; that rules weights, not payloads.
    """
    ones = csr_matrix(identity(int(np.prod(node.out.shape)), np.int32))
    sparse = Sparse(weights=ones, sign_mode=SignMode.EXCITATORY, num_message_bits=PAYLOAD_BITS, name=node.name)
    source.connect(sparse.s_in)
    return sparse.a_out


def image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Feature maps [C, H, W] as they are; tokens [C, N] as N rows of one column."""
    channels, height, width = (*shape, 1)[:3]
    return channels, height, width


def stock_conv(node: Synapse, shape: tuple[int, ...], bits: int) -> Any:
    """Lava's Conv: a true convolution, so kernels are turned round, and everything in order [W, H, C]."""
    channels, height, width = image(shape)
    return Conv(
        weight=arith.ungrouped(node.weight, node.groups)[:, :, ::-1, ::-1].transpose(0, 3, 2, 1),
        input_shape=(width, height, channels),
        stride=node.stride[::-1],
        padding=node.padding[::-1],
        num_message_bits=bits,
        name=node.name,
    )


def unrolled(node: Synapse, shape: tuple[int, ...]) -> csr_matrix:
    """A convolution as a sparse matrix [outputs, inputs], both flattened in C order. shape: of the input."""
    (_, height, width), (_, rows, columns) = image(shape), image(node.out.shape)
    weight = arith.ungrouped(node.weight, node.groups)
    o, c, i, j = np.nonzero(weight)
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    from_y = y.reshape(1, -1) * node.stride[0] + i[:, None] - node.padding[0]
    from_x = x.reshape(1, -1) * node.stride[1] + j[:, None] - node.padding[1]
    inside = (from_y >= 0) & (from_y < height) & (from_x >= 0) & (from_x < width)
    sources = (c[:, None] * height + from_y) * width + from_x
    targets = o[:, None] * rows * columns + np.arange(rows * columns)
    weights = np.broadcast_to(weight[o, c, i, j][:, None], sources.shape)
    return matrix(weights[inside], targets[inside], sources[inside], node, shape)


def matrix(
    weights: NDArray[Any], targets: NDArray[Any], sources: NDArray[Any], node: Synapse, shape: tuple[int, ...]
) -> csr_matrix:
    """The sparse matrix of single synapses."""
    sizes = (int(np.prod(node.out.shape)), int(np.prod(shape)))
    return csr_matrix((weights.astype(np.int32), (targets, sources)), shape=sizes)
