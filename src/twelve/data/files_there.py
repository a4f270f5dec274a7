"""Whether the files that a run reads are there, checked before anything large is imported or read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from twelve.data.examples.reading import read_examples
from twelve.downloads.registry import shipped
from twelve.errors import MissingData, check_all, quoted
from twelve.formats.data_root import DataRoot, is_drawn, make_command
from twelve.settings import RunConfig
from twelve.tasks.base import Task, get
from twelve.tasks.custom import own_tasks


def data_root(config: RunConfig) -> DataRoot:
    """The run's data root; raises DataError if there is none, with the command that generates a microworld."""
    try:
        return DataRoot(config.data, config.sources, own_tasks(config.tasks))
    except MissingData as error:
        if "microworld" not in config.model_fields_set or Path(config.data).exists():
            raise
        asked = config.microworld
        options = {"apart": asked.apart, "draw_wordings": asked.draw_wordings}
        command = make_command(Path(config.data), config.seed, asked.scale, **options)
        remedy = f"generate it: {command}; or run twelve quickstart with this configuration, which does everything"
        raise MissingData(error.problem, file=error.file, remedy=remedy) from None


def check_annotations(config: RunConfig) -> None:
    """Raise MissingData where a run's splits lack files; says how to fetch official ones, if they can be fetched."""
    root = data_root(config)
    if is_drawn(root.path):  # its files were written together: one that is gone is told when it is read
        return
    chosen = [(get(name, root.own_tasks), settings) for name, settings in config.tasks.items()]
    splits = [(task, settings.train or task.train_split) for task, settings in chosen]
    if config.validation_images == "apart":  # then the test images must be known
        splits += [(task, settings.test_split or task.test_split) for task, settings in chosen]
    check_all(partial(_check_files, root, task, split) for task, split in splits)


def _check_files(root: DataRoot, task: Task, split: str) -> None:
    if all(path.is_file() for path in task.reader.input_files(root, split)):
        return
    try:
        read_examples(task, root, split)
    except MissingData as error:
        known = {one for each in shipped() if each.kind == "annotation" for one in each.tasks}
        if task.name not in known:
            raise
        command = f"twelve data fetch {quoted(task.name)} --root {quoted(root.path)} --yes"
        raise MissingData(
            error.problem, file=error.file, record=error.record, remedy=f"{error.remedy}, or run {command}"
        ) from None
