"""Fine-tuning layer by layer: learning rates by depth, and frozen parameters.

Depth is counted from the top: heads and poolers have depth 0, the last layers 1, and an embedding is below all layers
that read it; the trunk knows. Task tokens belong to a task, like its head: they have depth 0, and are part of no layer.
"""

from __future__ import annotations

from collections.abc import Callable

from twelve.errors import ConfigError
from twelve.model.config import TwelveConfig
from twelve.model.trunk import trunk_class
from twelve.model.vilbert import Twelve
from twelve.settings import FreezeSettings
from twelve.training.prefixes import check_prefixes, under, under_any
from twelve.types.batch import CONTRAST

HEADS = ("heads", "pretraining", "word_logit", CONTRAST)
"""Prefixes of the parameters of heads."""


def depth_of(name: str, config: TwelveConfig) -> int:
    """Number of layers between a parameter and the heads."""
    return trunk_class(config).depth(name, config)


def rates_by_depth(config: TwelveConfig, decay: float) -> Callable[[str], float]:
    """Parameter name -> factor of its learning rate: ``decay`` to the power of its depth ("Universal Language Model
    Fine-tuning for Text Classification", Howard & Ruder 2018, for whole layers)."""
    return lambda name: decay ** depth_of(name, config)


def freeze(model: Twelve, settings: FreezeSettings, *, new_tasks: bool = False) -> int:
    """Turn off the gradients of frozen parameters; returns how many numbers these hold.

    Args:
        new_tasks: whether a task is new to the model. Its token is random, and trains unless ``names`` names it.

    Raises:
        ConfigError: there are fewer layers, no parameter has one of the prefixes, or everything would be frozen.
    """
    names, trunk = [name for name, _ in model.named_parameters()], model.trunk
    check_prefixes(settings.names, names, "freeze.names")
    check_prefixes(settings.but, names, "freeze.but")
    fixed = {name for name in names if under_any(name, settings.names)}
    if settings.all_but_heads:
        fixed |= {name for name in names if not under_any(name, (*HEADS, trunk.tokens) if new_tasks else HEADS)}
    for stream, count in (("text", settings.text_layers), ("image", settings.image_layers)):
        if count is None:
            continue
        if count > (most := trunk.stream_layers(model.config)[stream]):
            raise ConfigError(
                f"the stream has {most} layers, not {count}",
                record=f"freeze.{stream}_layers",
                remedy=f"give at most {most}",
            )
        lowest = trunk.lowest(stream, count)
        fixed |= {name for name in names if under_any(name, lowest) and not under(name, trunk.tokens)}
    fixed -= {name for name in names if under_any(name, settings.but)}
    if fixed == set(names):
        raise ConfigError("nothing is left to train", record="freeze", remedy="freeze less, or name it in freeze.but")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in fixed)
    return sum(parameter.numel() for name, parameter in model.named_parameters() if name in fixed)
