"""What to do after training: the command that evaluates the run, or Python where the command line cannot know its
parts."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from twelve.errors import quoted
from twelve.model.settings import Settings
from twelve.model.trunk import trunk_class
from twelve.outputs.base import Output
from twelve.tasks.base import Task


def next_command(run: Path, model: Settings, tasks: dict[str, tuple[Task, Output]]) -> str:
    """The next step, after ``next:``.

    Args:
        run: the run's folder.
        tasks: name -> the task and its output.
    """
    installed = {point.value.partition(":")[0] for point in entry_points(group="twelve.tasks")}
    kinds: dict[str, type] = {f"trunk {model.trunk!r}": trunk_class(model)}
    for name, (task, output) in tasks.items():
        kinds |= {f"task {name!r}": type(task), f"output {output.kind!r}": type(output)}
    foreign = [
        what
        for what, kind in kinds.items()
        if _elsewhere(kind) and kind.__module__ not in installed and not _trains_only(kind)
    ]
    if not foreign:
        return f"twelve evaluate {quoted(run)}"
    return (
        f"twelve.runs.evaluate.evaluate_run(Path({str(run)!r})) in a program that defines its {foreign[0]}, which "
        "twelve evaluate does not know"
    )


def _elsewhere(kind: type) -> bool:
    return kind.__module__.partition(".")[0] not in ("twelve", "builtins", "abc", "typing")


def _trains_only(kind: type) -> bool:
    """Whether a class changes nothing but the loss of one of twelve's outputs, so that evaluation is the same."""
    changed = {name for each in kind.__mro__ if _elsewhere(each) for name in vars(each) if name[0] != "_"}
    return changed == {"loss"}
