"""What to do after training and after evaluation: the next command, or Python where the command line cannot know the
run's parts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.errors import quoted
from twelve.outputs.base import Output
from twelve.tasks.base import Task

if TYPE_CHECKING:
    from twelve.model.settings import Settings


def next_command(run: Path, model: Settings, tasks: Mapping[str, tuple[Task, Output]]) -> str:
    """The step after training, after ``next:``.

    Args:
        run: the run's folder.
        tasks: name -> the task and its output.
    """
    from twelve.model.trunk import trunk_class  # imports torch, which a report does not need

    trunk = {f"trunk {model.trunk!r}": trunk_class(model)}
    return _next("evaluate", "twelve.runs.evaluate.evaluate_run", run, only_in_a_program(tasks, trunk))


def next_report(run: Path, tasks: Mapping[str, tuple[Task, Output]]) -> str:
    """The step after evaluation, as :func:`next_command`; a report does not need the model."""
    return _next("report", "twelve.report.write.write_report", run, only_in_a_program(tasks))


def only_in_a_program(tasks: Mapping[str, tuple[Task, Output]], others: Mapping[str, type] | None = None) -> str:
    """The first part of a run that a program defines and no installed package, so that no command knows it:
    ``"task 'mine'"``; "" if there is none.

    Args:
        tasks: name -> the task and its output.
        others: further parts, in words -> their classes.
    """
    installed = {point.value.partition(":")[0].partition(".")[0] for point in entry_points(group="twelve.tasks")}
    kinds: dict[str, type] = dict(others or {})
    for name, (task, output) in tasks.items():
        kinds |= {f"task {name!r}": type(task), f"output {output.kind!r}": type(output)}
    return next(
        (
            what
            for what, kind in kinds.items()
            if _elsewhere(kind) and kind.__module__.partition(".")[0] not in installed and not _trains_only(kind)
        ),
        "",
    )


def _next(command: str, function: str, run: Path, unknown: str) -> str:
    if not unknown:
        return f"twelve {command} {quoted(run)}"
    return (
        f"{function}(Path({str(run)!r})) in a program that defines its {unknown}, which twelve {command} does not know"
    )


def _elsewhere(kind: type) -> bool:
    return kind.__module__.partition(".")[0] not in ("twelve", "builtins", "abc", "typing")


def _trains_only(kind: type) -> bool:
    """Whether a class changes nothing but the loss of one of twelve's outputs, so that evaluation is the same."""
    changed = {name for each in kind.__mro__ if _elsewhere(each) for name in vars(each) if name[0] != "_"}
    return changed == {"loss"}
