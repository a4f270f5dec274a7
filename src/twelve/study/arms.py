"""The arms of a study: ways to train the same tasks, from the same initial model, on the same data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twelve.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train.

    Attributes:
        alone: train a model for each task, rather than one for all.
        schedule: of a joint arm; None: the stop-and-go of the configuration.
        doubled: each task may have at most ``longer`` times the updates that it has in the base arm.
        equal: a joint arm with as many updates in total, not as many iterations, as the base arm.
        pretrained: begin with a model that is pretrained on the captions of the run's retrieval tasks.
    """

    name: str
    meaning: str
    alone: bool = False
    schedule: str | None = None
    doubled: bool = False
    equal: bool = False
    pretrained: bool = False


BASE, OPPONENT = "stop-and-go", "single-longer"
"""The arm that all others are compared with, and the arm that the question of the study is about."""
ARMS = {
    arm.name: arm
    for arm in (
        Arm(BASE, "one model, a task that no longer improves is stopped"),
        Arm("always-go", "one model, every task in every iteration", schedule="always-go"),
        Arm("single", "a model for each task, as many updates as the task has in stop-and-go", alone=True),
        Arm(
            OPPONENT,
            "a model for each task, up to twice as many updates, the best validation is kept",
            True,
            doubled=True,
        ),
        Arm("always-go-equal", "always-go with as many updates as stop-and-go", schedule="always-go", equal=True),
        Arm(
            "proportional-equal",
            "tasks sampled by their sizes, as many updates as stop-and-go",
            schedule="proportional",
            equal=True,
        ),
        Arm("pretrained", "stop-and-go, pretrained on the retrieval tasks' captions", pretrained=True),
    )
}
MAIN = (BASE, "always-go", "single", OPPONENT)


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Names of arms in the order in which they run, always with the base arm, on which the others depend.

    Raises:
        ConfigError: there is no such arm.
    """
    for name in names:
        if name not in ARMS:
            raise ConfigError(
                f"unknown arm {name!r}{nearest(name, ARMS)}", record="arms", remedy=f"choose among {', '.join(ARMS)}"
            )
    return tuple(name for name in ARMS if name == BASE or name in names)
