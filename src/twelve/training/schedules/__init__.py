"""Schedules, which choose the tasks of every iteration, by name (:func:`make_schedule`).

They are found by importing every module of this package.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any, Unpack, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from twelve.errors import ConfigError, nearest
from twelve.training.schedules.base import SCHEDULES, Event, Schedule, Setting

__all__ = ["SCHEDULES", "Event", "Schedule", "check_options", "check_stops", "make_schedule"]

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)

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
    if name not in SCHEDULES:
        raise ConfigError(
            f"unknown schedule {name!r}{nearest(name, SCHEDULES)}",
            record="schedule.name",
            remedy=f"choose among {', '.join(SCHEDULES)}",
        )
    hints = get_type_hints(SCHEDULES[name].__init__, include_extras=True)
    parameters = inspect.signature(SCHEDULES[name]).parameters.values()
    known = {each.name: hints[each.name] for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    for option, value in options.items():
        if option not in known:
            raise ConfigError(
                f"schedule {name!r} has no option {option!r}{nearest(option, known)}",
                record="schedule.options",
                remedy=f"its options: {', '.join(sorted(known)) or 'none'}",
            )
        try:
            TypeAdapter(known[option], config=_STRICT).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, ("schedule.options", option, *first["loc"])))
            problem = f"{first['msg']}, found {repr(first['input'])[:40]}"
            raise ConfigError(problem, record=place, remedy="see docs/configuration.md") from None


def make_schedule(name: str, options: Mapping[str, Any], **setting: Unpack[Setting]) -> Schedule:
    """The schedule called ``name`` with its own ``options``.

    Raises:
        ConfigError: see :func:`check_options`, or an option does not suit the run.
    """
    check_options(name, options)
    return SCHEDULES[name](**options, **setting)
