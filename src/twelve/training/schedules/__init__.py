"""Schedules, which choose the tasks of every iteration, by name (:func:`make_schedule`).

They are found by importing every module of this package.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Unpack

from twelve.errors import ConfigError
from twelve.training.options import check_options as check_named_options
from twelve.training.schedules.base import SCHEDULES, Event, Schedule, Setting

__all__ = ["SCHEDULES", "Event", "Schedule", "check_options", "check_stops", "make_schedule"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def check_stops(name: str) -> None:
    """Raises ConfigError when the schedule called ``name`` cannot let a task begin stopped."""
    able = [schedule.name for schedule in SCHEDULES.values() if schedule.stops]
    if name not in able:
        raise ConfigError(
            f"schedule {name!r} never stops a task, so it cannot replay one",
            record="schedule.name",
            remedy=f"choose {' or '.join(able)}",
        )


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Check a schedule's own options, which are the keyword arguments of its constructor, against their annotations.

    Raises:
        ConfigError: no such schedule or option (names the nearest one), or a value of the wrong type or range.
    """
    check_named_options("schedule", SCHEDULES, name, options)


def make_schedule(name: str, options: Mapping[str, Any], **setting: Unpack[Setting]) -> Schedule:
    """The schedule called ``name`` with its own ``options``.

    Raises:
        ConfigError: see :func:`check_options`, or an option does not suit the run.
    """
    check_options(name, options)
    return SCHEDULES[name](**options, **setting)
