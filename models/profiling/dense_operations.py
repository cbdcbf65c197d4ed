"""Dense multiply-accumulates of a network and of its transformer blocks, from the architecture alone: no weights, no data.

Modules run on torch's meta device, where tensors have shapes and no values, under torch's own operation counter: it counts
convolutions, linear layers and matrix products, borders included, two operations per multiply-accumulate. Element-wise
products (SDT-V1's and QKFormer's gates, 0.02 % of SDT-V1-8-768's blocks) are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pumice.errors import InputError
from pumice.models import sdt_v3_layers
from pumice.models.official import FAMILIES
from pumice.models.profiling.tally import Layer
from pumice.models.qkformer import QKFormer
from pumice.models.sdt_v1 import SdtV1
from pumice.models.sdt_v3 import SdtV3


@dataclass(frozen=True)
class DenseOperations:
    """Multiply-accumulates of one timestep, one sample. first: the first convolution. blocks: each transformer block. rest:
    everything else, that is, the other convolutions of the embedding, and the head."""

    first: int
    blocks: tuple[int, ...]
    rest: int


def dense_operations(family: str, kwargs: Mapping[str, Any]) -> DenseOperations:
    """Of an official model with all its tokens. kwargs: its constructor's arguments. InputError for a family without blocks."""
    network, image = _build(family, kwargs)
    blocks = _blocks_macs(network, None)
    first = _first_macs(network, image)
    return DenseOperations(first, blocks, _macs(lambda: network(image)) - first - sum(blocks))


def block_operations(family: str, kwargs: Mapping[str, Any], sides: Sequence[int]) -> tuple[int, ...]:
    """`DenseOperations.blocks` where block i keeps sides[i]² tokens. SDT-V3's run their separable convolution on all tokens.

    Raises InputError for a schedule of another length, and for a family without blocks.
    """
    network, _ = _build(family, kwargs)
    if len(sides) != len(_blocks(network)):
        raise InputError(f"{len(sides)} sides for the {len(_blocks(network))} blocks of {family}", "give one per block")
    return _blocks_macs(network, sides)


def _blocks_macs(network: nn.Module, sides: Sequence[int] | None) -> tuple[int, ...]:
    blocks = _blocks(network)
    chosen: list[int | None] = list(sides) if sides else [None] * len(blocks)
    return tuple(map(_block_macs, blocks, _grids(network), chosen))


def _build(family: str, kwargs: Mapping[str, Any]) -> tuple[nn.Module, Tensor]:
    """The model of one timestep on the meta device, and an image for it `[1, C, H, W]`."""
    entry = FAMILIES[family]
    one_step = {"T": 1} if "T" in {field.name for field in fields(entry.config)} else {}
    config = entry.config(**dict(kwargs) | one_step)
    with torch.device("meta"):
        network = entry.build(config, "independent").eval()
        return network, torch.zeros(1, config.in_channels, config.img_size_h, config.img_size_w)


def _blocks(network: nn.Module) -> list[nn.Module]:
    if isinstance(network, SdtV1):
        return list(network.block)
    if isinstance(network, QKFormer):
        return [*network.stage1, *network.stage2, *network.stage3]
    if isinstance(network, SdtV3):
        return [*network.block3, *network.block4]
    raise InputError(f"{type(network).__name__} has no blocks to count", "SDT-V1, QKFormer and SDT-V3 have")


def _grids(network: nn.Module) -> Sequence[tuple[int, int]]:
    """Token rows and columns (H', W') of every block."""
    if isinstance(network, QKFormer):
        return network.config.grids
    assert isinstance(network, SdtV1 | SdtV3)
    return [network.config.grid] * network.depth


def _block_macs(block: nn.Module, grid: tuple[int, int], side: int | None) -> int:
    channels = next(_layers(block)).weight.shape[1]
    kept = grid if side is None else (side, side)
    with torch.device("meta"):
        if isinstance(block, sdt_v3_layers.Block):
            every, some = torch.zeros(1, channels, *grid), torch.zeros(1, channels, *kept)
            return _macs(lambda: block.mix(every)) + _macs(lambda: block.attend(some))
        tokens = torch.zeros(1, 1, channels, *kept)
        return _macs(lambda: block(tokens))


def _first_macs(network: nn.Module, image: Tensor) -> int:
    """Of the layer that runs first."""
    ran: list[int] = []
    hooks = [layer.register_forward_hook(_record(ran)) for layer in _layers(network)]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return ran[0]


def _record(ran: list[int]) -> Callable[[nn.Module, Any, Tensor], None]:
    return lambda layer, _, out: ran.append(out.numel() * layer.weight[0].numel())


def _layers(module: nn.Module) -> Iterator[Layer]:
    return (part for part in module.modules() if isinstance(part, Layer))


def _macs(run: Callable[[], object]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops()) // 2
