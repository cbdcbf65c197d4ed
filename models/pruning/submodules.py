"""Layers of a model by their dotted names: found with a clear error, and replaced in place."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from pumice.errors import InputError


def submodule(model: nn.Module, name: str) -> nn.Module:
    """The layer called `name`. Raises InputError where the model has none of that name."""
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        known = [other for other, _ in model.named_modules() if other.endswith(name.rsplit(".", 1)[-1]) and other]
        hint = f"e.g. {', '.join(known[:3])}" if name and known else "names are those of model.named_modules()"
        raise InputError(f"{type(model).__name__} has no layer {name!r}", hint) from error


def replace_submodule(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Puts `layer` where the layer `name` was, in the same mode (train or eval). Raises InputError as above."""
    layer.train(submodule(model, name).training)
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, layer)


def names_of(model: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> tuple[str, ...]:
    """Names of the layers that are instances of `kind`, in the model's order."""
    return tuple(name for name, layer in model.named_modules() if isinstance(layer, kind))


def check_not_repeated(names: Iterable[str]) -> tuple[str, ...]:
    """The names as a tuple. Raises InputError for an empty list and for a name that stands in it twice."""
    listed = tuple(names)
    if not listed:
        raise InputError("no layers were named", "name at least one layer, or leave the list out for the default")
    for name in listed:
        if listed.count(name) > 1:
            raise InputError(f"layer {name!r} is named twice", "name every layer once")
    return listed
