"""What ``twelve evaluate`` is asked: whatever can be refused is, before anything large is read or imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twelve.config import load
from twelve.errors import ConfigError, nearest
from twelve.io.files import check_file
from twelve.run_folder import CONFIG, model_folder, open_run
from twelve.settings import RunConfig
from twelve.tasks.base import Task, get
from twelve.tasks.custom import own_tasks


def asked(
    folder: Path, tasks: Sequence[str] | None, submit: Path | None, settings: Sequence[str]
) -> tuple[RunConfig, list[str]]:
    """A run's configuration and the tasks to measure, all of the run's where none is named.

    Raises:
        ConfigError: the folder holds no run, a setting is none, the run has no such task, or ``submit`` is for several
            or for one that has no official file.
        CheckpointError: the run has no model yet.
    """
    open_run(folder)
    config = load(folder / CONFIG, settings)
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
