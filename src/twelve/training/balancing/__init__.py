"""Ways of balancing tasks, by name (:func:`make_balancing`).

They are found by importing every module of this package.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Unpack

from twelve.errors import ConfigError
from twelve.settings import RunConfig
from twelve.training.balancing.base import BALANCINGS, Balancing, BalancingSetting, GradientBalancing, LossBalancing
from twelve.training.options import check_options

__all__ = ["BALANCINGS", "Balancing", "GradientBalancing", "LossBalancing", "check_balancing", "make_balancing"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def check_balancing(config: RunConfig, *, weighs: bool) -> None:
    """Check the section ``balancing``, before data are read.

    Args:
        weighs: whether the schedule weighs losses itself.

    Raises:
        ConfigError: see :func:`check_options`; it does not suit the schedule or the updates; a package is missing.
    """
    if config.balancing is None:
        return
    made = make_balancing(config, tasks=tuple(config.tasks))
    assert made is not None
    made.check()
    if isinstance(made, GradientBalancing) and config.optimizer.update != "iteration":
        raise ConfigError(
            f"{made.name} weighs the gradients of all tasks together, but each task has an update of its own",
            record="optimizer.update",
            remedy="--set optimizer.update=iteration",
        )
    if isinstance(made, LossBalancing) and weighs:
        raise ConfigError(
            f"the schedule {config.schedule.name!r} weighs losses too",
            record="balancing",
            remedy="--set schedule.name=always-go, or leave balancing out",
        )


def make_balancing(config: RunConfig, **setting: Unpack[BalancingSetting]) -> Balancing | None:
    """What the configuration asks for, or None.

    Raises:
        ConfigError: see :func:`check_options`.
    """
    if config.balancing is None:
        return None
    check_options("balancing", BALANCINGS, config.balancing.name, config.balancing.options)
    return BALANCINGS[config.balancing.name](**config.balancing.options, **setting)
