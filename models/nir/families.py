"""The families that have a form in NIR: those of checkpoints, and the ImageNet forms."""

from __future__ import annotations

from pumice.errors import InputError
from pumice.models.checkpoints import FAMILIES as CHECKPOINT_FAMILIES
from pumice.models.checkpoints import CheckpointFamily
from pumice.models.network import SpikingNetwork
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerImagenetConfig
from pumice.models.spikformer_conv import SpikformerImagenet, SpikformerImagenetConfig

FAMILIES = (
    *CHECKPOINT_FAMILIES,
    CheckpointFamily("spikformer-imagenet", SpikformerImagenetConfig, SpikformerImagenet),
    CheckpointFamily("qkformer-imagenet", QKFormerImagenetConfig, QKFormer),
)


def family_of(model: SpikingNetwork) -> str:
    """The family's name, by the configuration's exact class. Raises InputError for a network that has no form in NIR."""
    config = getattr(model, "config", None)
    for family in FAMILIES:
        if type(config) is family.config:
            return family.name
    raise InputError(f"a network with a {type(config).__name__} has no form in NIR", f"known: {known()}")


def family_named(name: object) -> CheckpointFamily | None:
    """The family called `name`, or None."""
    return next((family for family in FAMILIES if family.name == name), None)


def known() -> str:
    """The names, for messages."""
    return ", ".join(family.name for family in FAMILIES)
