"""The arguments of ``twelve evaluate``, checked before anything large is read or imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twelve.config import load_run
from twelve.errors import ConfigError, nearest
from twelve.io.files import check_file
from twelve.run_folder import model_folder
from twelve.settings import RunConfig
from twelve.tasks.base import Task, get
from twelve.tasks.custom import own_tasks


def asked(
    folder: Path, tasks: Sequence[str] | None, submit: Path | None, settings: Sequence[str]
) -> tuple[RunConfig, list[str]]:
    """A run's configuration and the names of the tasks to evaluate: ``tasks``, or all tasks of the run.

    Raises:
        ConfigError: the folder holds no run, a setting is not valid, the run has no such task, or ``submit`` is given
            for several tasks or for a task that has no official file of results.
        CheckpointError: the run has no model yet.
    """
    config = load_run(folder, settings)
    for name in tasks or ():
        if name not in config.tasks:
            raise ConfigError(
                f"the run has no task {name!r}{nearest(name, config.tasks)}",
                file=folder,
                remedy=f"it has {', '.join(config.tasks)}",
            )
    names = list(dict.fromkeys(tasks or config.tasks))
    if submit is not None:
        known = own_tasks(config.tasks)
        able = [name for name in config.tasks if _official(get(name, known))]
        remedy = "leave --submit out: no task of this run has such a file"
        if able:
            remedy = f"name one that has such a file with --task: {', '.join(able)}"
        if len(names) > 1:
            raise ConfigError("an official file of results is one task's", file=submit, remedy=remedy)
        if names[0] not in able:
            problem = f"{get(names[0], known).title} has no official file of results"
            raise ConfigError(problem, file=submit, remedy=remedy)
        check_file(submit)
    model_folder(folder)
    return config, names


def _official(task: Task) -> bool:
    """Whether a task's dataset has an official file of results."""
    try:
        task.submission([], [])
    except ConfigError:
        return False
    return True
