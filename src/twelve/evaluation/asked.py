"""What ``twelve evaluate`` is asked: whatever can be refused is, before anything large is read or imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twelve.config import RunConfig, load
from twelve.errors import ConfigError, nearest
from twelve.files import check_file
from twelve.runs import CONFIG, model_folder, open_run
from twelve.tasks.base import get


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
        if len(names) > 1:
            problem = "an official file of results is one task's"
            raise ConfigError(problem, file=submit, remedy=f"name one of the tasks: {', '.join(names)}")
        check_file(submit)
        get(names[0]).submission([], [])
    model_folder(folder)
    return config, names
