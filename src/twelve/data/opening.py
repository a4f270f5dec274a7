"""The data root and the tasks that a command's words name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from twelve.config import load
from twelve.data.sources import parse_sources
from twelve.errors import ConfigError
from twelve.formats.data_root import DataRoot
from twelve.tasks.base import Task, get
from twelve.tasks.custom import own_tasks


def opened(
    path: Path, tasks: Sequence[str] | None = None, sources: Sequence[str] | None = None, config: str | None = None
) -> tuple[DataRoot, list[str] | None]:
    """The data root with its sources, and names of tasks; None for whatever the root has.

    Args:
        tasks: names; with a configuration those that it names when absent.
        sources: ``TASK=SOURCE``; these stand above the configuration's, and those above ``sources.json``.
        config: a configuration file; its own tasks are known, and its ``sources`` count.

    Raises:
        ConfigError: an unknown task, a flaw in the configuration, or in ``sources``.
        DataError: no such data root.
    """
    named: Mapping[str, str] = {}
    own: Mapping[str, Task] = {}
    if config is not None:
        parsed = load(config)
        named, tasks, own = parsed.sources, tasks or list(parsed.tasks), own_tasks(parsed.tasks)
    try:
        chosen = [get(name, own).name for name in tasks or ()]
    except ConfigError as error:
        if config is not None:
            raise
        remedy = f"{error.remedy}; a task of your own is found with --config FILE, the configuration that defines it"
        raise ConfigError(error.problem, remedy=remedy) from None
    return DataRoot(path, {**named, **parse_sources(sources, own)}, own), chosen or None
