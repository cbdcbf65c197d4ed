"""Checkpoints of the official repositories, loaded strictly: `load_official` builds the model and refuses what does not fit.

The families, their official files and the constructor whose arguments `kwargs` holds:
    spikformer_cifar       ZK-Zhou/spikformer         cifar10/model.py            Spikformer
    spikformer_imagenet                               imagenet/model.py           Spikformer
    spikformer_dvs                                    cifar10dvs/model.py         Spikformer
    qkformer_cifar         zhouchenlin2096/QKFormer   cifar10/model.py            spiking_transformer
    qkformer_imagenet                                 imagenet/qkformer.py        hierarchical_spiking_transformer
    qkformer_tp            xlzhou126/TP-Spikformer-Token-Pruned-Spiking-Transformer, qk_drop/qkformer.py
    sdtv1                  BICLab/Spike-Driven-Transformer, model/spikeformer.py, SpikeDrivenTransformer
    sdtv3                  BICLab/Spike-Driven-Transformer-V3, SDT_V3/Classification/Model_Base/models.py,
                           Spiking_vit_MetaFormer_Spike_SepConv
    sdtv1_tp, sdtv3_tp     the same classes in TP-Spikformer's repository, sdt_drop/model/sdt_drop.py, sdtv3_drop/models_drop.py
    sparsespikformer_cifar Rocherster/SparseSpikformer, cifar10/sparse_new_model.py, SpikformerPrune
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models import sdt_v1, sdt_v3
from pumice.models.conv_layers import BatchSemantics
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerConfig, QKFormerImagenetConfig, QKFormerTpConfig
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.sdt_v3 import SdtV3, SdtV3Config
from pumice.models.sparse_spikformer import SparseSpikformer, SparseSpikformerConfig
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.spikformer_conv import (
    SpikformerDvs,
    SpikformerDvsConfig,
    SpikformerImagenet,
    SpikformerImagenetConfig,
)
from pumice.models.state_dicts import read_state_dict

__all__ = ["FAMILIES", "Family", "load_official", "nearest_family", "read_state_dict"]

# Arguments of the official constructors that change nothing in a trained model: dropout rates, initialisation, distillation.
WITHOUT_EFFECT = {
    *("qk_scale", "drop_rate", "attn_drop_rate", "drop_path_rate", "drop_block_rate", "norm_layer", "pretrained_cfg"),
    "distill",
}


@dataclass(frozen=True)
class Family:
    """One official model class. config: dataclass of its constructor's arguments. build: the module from a config.
    small: arguments of a model of a few kilobytes, for its key names. required: what the weights' shapes do not give away:
    a forgotten one would load, and compute something else."""

    config: type[Any]
    build: Callable[[Any, BatchSemantics], nn.Module]
    small: Mapping[str, Any]
    required: tuple[str, ...] = ("embed_dims", "num_heads", "depths")


_SMALL = {"img_size_h": 32, "img_size_w": 32, "embed_dims": 32, "num_heads": 1, "depths": 4, "num_classes": 2}

_SMALL_TP = {**_SMALL, "k_values": (1,) * 4}
_SMALL_V3 = {"img_size_h": 64, "img_size_w": 64, "embed_dim": (8, 8, 8, 8), "num_heads": 1, "num_classes": 2}
_REQUIRED_V3 = ("embed_dim", "num_heads")


def _pruned(config: Any, official: tuple[float, ...]) -> Any:
    """The configuration with the official constructor's own schedule where none was given."""
    return config if config.k_values is not None else replace(config, k_values=official)


FAMILIES: dict[str, Family] = {
    "spikformer_cifar": Family(SpikformerConfig, lambda config, _: Spikformer(config), _SMALL),
    "spikformer_imagenet": Family(SpikformerImagenetConfig, lambda config, _: SpikformerImagenet(config), _SMALL),
    "spikformer_dvs": Family(SpikformerDvsConfig, lambda config, _: SpikformerDvs(config), _SMALL),
    "qkformer_cifar": Family(
        QKFormerConfig, lambda config, batch: QKFormer(config, batch_semantics=batch), {**_SMALL, "embed_dims": 64}
    ),
    "qkformer_imagenet": Family(
        QKFormerImagenetConfig, lambda config, batch: QKFormer(config, batch_semantics=batch), _SMALL
    ),
    "qkformer_tp": Family(
        QKFormerTpConfig,
        lambda config, batch: QKFormer(config, batch_semantics=batch),
        {**_SMALL, "k_values": (1.0,) * 4},
    ),
    "sparsespikformer_cifar": Family(SparseSpikformerConfig, lambda config, _: SparseSpikformer(config), _SMALL),
    "sdtv1": Family(SdtV1Config, lambda config, _: SdtV1(config), _SMALL),
    "sdtv1_tp": Family(SdtV1Config, lambda config, _: SdtV1(_pruned(config, sdt_v1.OFFICIAL_K_VALUES)), _SMALL_TP),
    "sdtv3": Family(SdtV3Config, lambda config, _: SdtV3(config), _SMALL_V3, _REQUIRED_V3),
    "sdtv3_tp": Family(
        SdtV3Config, lambda config, _: SdtV3(_pruned(config, sdt_v3.OFFICIAL_K_VALUES)), _SMALL_V3, _REQUIRED_V3
    ),
}


def load_official(
    family: str,
    kwargs: Mapping[str, Any],
    state_dict: Mapping[str, Tensor],
    batch_semantics: BatchSemantics = "official",
) -> nn.Module:
    """A trained model in eval mode; calling it on the official input gives the official logits.

    kwargs: the official constructor's arguments. state_dict: official keys, all of them and no others (a file's are read
    by `read_state_dict`). batch_semantics: for QKFormer, see `ConvSSA`; no other family asks.

    Raises InputError for an unknown family, argument or value, and for a state dict that does not fit: the message names
    the first mismatch and the nearest family.
    """
    if family not in FAMILIES:
        raise InputError(f"unknown model family {family!r}", f"known: {', '.join(FAMILIES)}")
    if batch_semantics not in get_args(BatchSemantics):
        raise InputError(f"unknown batch semantics {batch_semantics!r}", "use 'independent' or 'official'")
    try:
        model = FAMILIES[family].build(_config(family, kwargs), batch_semantics)
    except InputError as error:
        known = _signature(state_dict) == _own_signature(family)  # then the arguments alone are wrong
        raise InputError(str(error) if known else f"{error}; {_verdict(family, state_dict)}", error.hint) from error
    mismatches = list(_mismatches(model.state_dict(), state_dict))
    if mismatches:
        others = f" and {len(mismatches) - 1} more mismatches" if len(mismatches) > 1 else ""
        raise InputError(
            f"{family}: {mismatches[0]}{others}; {_verdict(family, state_dict)}",
            "give the family and the constructor arguments of the checkpoint",
        )
    model.load_state_dict(dict(state_dict))
    return model.eval()


def nearest_family(state_dict: Mapping[str, Any]) -> tuple[str, float]:
    """The family whose keys are most like these, and how like: 0 to 1, where 1 is a fit of all but the sizes.

    Of families with the same keys (qkformer_imagenet, qkformer_tp), the first.
    """
    given = _signature(state_dict)
    likeness: dict[str, float] = {}
    for name in FAMILIES:
        own = _own_signature(name)
        likeness[name] = len(given & own) / len(given | own)
    best = max(likeness, key=lambda name: likeness[name])
    return best, likeness[best]


def _config(family: str, kwargs: Mapping[str, Any]) -> Any:
    config = FAMILIES[family].config
    defaults = {field.name: field.default for field in fields(config)}
    used = {name: value for name, value in kwargs.items() if name in defaults or name not in WITHOUT_EFFECT}
    unknown = [name for name in used if name not in defaults]
    if unknown:
        raise InputError(f"{family}: the constructor has no argument {unknown[0]!r}", f"known: {', '.join(defaults)}")
    missing = [name for name in FAMILIES[family].required if name not in used]
    if missing:
        raise InputError(f"{family}: the argument {missing[0]!r} is missing", "give the constructor's arguments")
    for name, value in used.items():
        used[name] = _checked(family, name, value, defaults[name])
    try:
        return config(**used)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{family}: the arguments do not make a model ({error})", "give the official values"
        ) from error


def _checked(family: str, name: str, value: Any, default: Any) -> Any:
    """The argument; InputError where a whole number is asked for and none is given. timm hands 4 over as 4.0."""
    if isinstance(default, bool) or not isinstance(default, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{family}: {name} is {value!r}, not a whole number", "give the official value")
    return value


def _mismatches(expected: Mapping[str, Tensor], given: Mapping[str, Any]) -> Iterator[str]:
    """One sentence per key that is missing, misshapen or too many; the model's order, then the checkpoint's."""
    for name, tensor in expected.items():
        if name not in given:
            yield f"key {name!r} is missing"
        elif not isinstance(given[name], Tensor):
            yield f"key {name!r} holds {type(given[name]).__name__}, not a tensor"
        elif given[name].shape != tensor.shape:
            yield f"key {name!r} has shape {tuple(given[name].shape)}, not {tuple(tensor.shape)}"
    for name in given:
        if name not in expected:
            yield f"unexpected key {name!r}"


def _verdict(family: str, state_dict: Mapping[str, Any]) -> str:
    """What the checkpoint seems to be, in half a sentence."""
    if _signature(state_dict) == _own_signature(family):
        return f"the checkpoint is a {family}, of other sizes than the arguments say"
    nearest, likeness = nearest_family(state_dict)
    if likeness == 1.0:
        return f"the checkpoint fits {nearest}"
    if likeness < 0.25:
        return "no known family is near"
    return f"the nearest family is {nearest}, which shares {likeness:.0%} of its kinds of keys"


def _own_signature(family: str) -> frozenset[tuple[str, int]]:
    entry = FAMILIES[family]
    return _signature(entry.build(entry.config(**entry.small), "official").state_dict())


def _signature(state_dict: Mapping[str, Any]) -> frozenset[tuple[str, int]]:
    """Which kinds of keys a state dict has, whatever its sizes: names without layer numbers, and numbers of axes."""
    kinds = (
        (re.sub(r"\.\d+(?=\.)", ".*", str(name)), getattr(value, "ndim", -1)) for name, value in state_dict.items()
    )
    return frozenset(kinds)
