"""Which tasks train in an iteration, behind one interface (:class:`Schedule`), by name (:func:`make_schedule`)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from twelve.errors import ConfigError, nearest
from twelve.training.schedules.base import Event, Schedule, Setting
from twelve.training.schedules.ordering import AntiCurriculum, ByGroup, Curriculum
from twelve.training.schedules.sampling import Proportional, SquareRoot, Temperature
from twelve.training.schedules.stop_and_go import StopAndGo, StopAndGoAsWorded
from twelve.training.schedules.weighting import UncertaintyWeighted

__all__ = ["SCHEDULES", "AlwaysGo", "Event", "Schedule", "check_stops", "make_schedule"]


class AlwaysGo(Schedule):
    """Every task in every iteration."""

    name: ClassVar[str] = "always-go"

    def tasks_at(self, iteration: int) -> list[str]:
        return list(self.tasks)


SCHEDULES: dict[str, type[Schedule]] = {
    schedule.name: schedule
    for schedule in (
        StopAndGo,
        StopAndGoAsWorded,
        AlwaysGo,
        Proportional,
        SquareRoot,
        Temperature,
        UncertaintyWeighted,
        Curriculum,
        AntiCurriculum,
        ByGroup,
    )
}


def check_stops(name: str) -> None:
    """Raises ConfigError when the schedule called ``name`` cannot let a task begin stopped."""
    able = [schedule.name for schedule in SCHEDULES.values() if schedule.stops]
    if name not in able:
        raise ConfigError(
            f"schedule {name!r} stops no task, so none can be replayed",
            record="schedule.name",
            remedy=f"choose {' or '.join(able)}",
        )


def make_schedule(name: str, options: Mapping[str, Any], **setting: Unpack[Setting]) -> Schedule:
    """The schedule called ``name`` with its own ``options``.

    Raises:
        ConfigError: no such schedule, or it has no such option (names the nearest one), or an option cannot be.
    """
    if name not in SCHEDULES:
        raise ConfigError(
            f"unknown schedule {name!r}{nearest(name, SCHEDULES)}",
            record="schedule.name",
            remedy=f"choose among {', '.join(SCHEDULES)}",
        )
    known = {
        option: parameter.annotation
        for option, parameter in inspect.signature(SCHEDULES[name]).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for option, value in options.items():
        if option not in known:
            raise ConfigError(
                f"schedule {name!r} has no option {option!r}{nearest(option, known)}",
                record="schedule.options",
                remedy=f"its options: {', '.join(sorted(known)) or 'none'}",
            )
        if wanted := _lacking(known[option], value):
            raise ConfigError(f"{option} is {value!r}", record="schedule.options", remedy=f"give {wanted}")
    return SCHEDULES[name](**options, **setting)


def _lacking(annotation: str, value: Any) -> str | None:
    """What a value should have been for an option that is annotated so; None where it will do."""
    if annotation.startswith("Mapping"):
        right = isinstance(value, Mapping) and all(_is_number(each) for each in value.values())
        return None if right else "a mapping of tasks to numbers"
    if annotation.startswith("Sequence"):
        text = "str" in annotation
        right = isinstance(value, list | tuple) and all(isinstance(v, str) if text else _is_number(v) for v in value)
        return None if right else f"a list of {'names' if text else 'numbers'}"
    whole = annotation.startswith("int")
    right = _is_number(value) and (not whole or isinstance(value, int))
    return None if right else f"a {'whole ' if whole else ''}number"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
