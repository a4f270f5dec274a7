"""The arguments of ``twelve evaluate``, checked before anything large is read or imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twelve.config import load_run, made
from twelve.errors import ConfigError, nearest, quoted
from twelve.io.files import check_file, check_folder, is_there
from twelve.io.json_file import read_or_none
from twelve.outputs import get_output
from twelve.run_folder import RunFolder, model_folder
from twelve.settings import RunConfig
from twelve.tasks.base import Task, all_tasks, get
from twelve.tasks.custom import own_tasks

ABLE = "alignment"
"""Kind of task that the heads of pretraining can be asked for."""


def asked(
    folder: Path,
    tasks: Sequence[str] | None,
    submit: Path | None,
    settings: Sequence[str],
    protocols: Sequence[str] = (),
    gallery: int | None = None,
    results_folder: Path | None = None,
) -> tuple[RunConfig, list[str]]:
    """The configuration of a run, or that of evaluating a model folder, and the names of the tasks to evaluate.

    Args:
        tasks: names; by default all tasks of the run, or of the model.
        protocols: ``TASK=NAME``, or ``NAME`` for all of these tasks that have it.
        gallery: number of images that retrieval ranks, in tasks without a protocol in ``protocols``.

    Raises:
        ConfigError: the folder holds no run and no model, a setting is not valid, there is no such task or protocol, or
            ``submit`` is given for several tasks or for a task that has no official file of results; or
            ``results_folder`` cannot be written to.
        CheckpointError: the run has no model.
    """
    config = configured(folder, tasks or (), settings)
    names = list(dict.fromkeys(tasks or config.tasks))
    config = _measured_by(config, names, protocols, gallery)
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
    if results_folder is not None:
        check_folder(results_folder)
    model_folder(folder)
    return config, names


def configured(folder: Path, tasks: Sequence[str], settings: Sequence[str]) -> RunConfig:
    """The configuration of a run, with those of ``tasks`` that its model was only pretrained for; of a model folder,
    that of evaluating it on the data root that the settings name.

    Raises:
        ConfigError: as :func:`asked`.
        CheckpointError: the run has no model.
    """
    trained = is_there(RunFolder(folder).config, ConfigError)
    if not trained and not is_there(folder / "config.json", ConfigError):
        RunFolder(folder).check()
    if trained:
        config = load_run(folder, settings)
        lacking = [name for name in tasks if name not in config.tasks]
        for name in lacking:
            _check_able(folder, name, config.tasks)
        return load_run(folder, [*settings, *(f"tasks.{name}={{}}" for name in lacking)])
    known = list(_mapping(model_folder(folder) / "processor_config.json", "task_outputs"))
    for name in (name for name in tasks if name not in known):
        _check_able(folder, name, known)
    if not tasks and not known:
        raise ConfigError(
            "this model was trained on no task", file=folder, remedy="name one: --task TASK (twelve tasks lists them)"
        )
    if not any(setting.startswith("data=") for setting in settings):
        remedy = "name the data root: --set data=DATA"
        if RunFolder(folder.parent).config.is_file():
            remedy = f"name its run: {quoted(folder.parent)}; or the data root: --set data=DATA"
        raise ConfigError("a model folder does not name its data", file=folder, remedy=remedy)
    asked_for = list(dict.fromkeys(tasks or known))
    given = tuple(setting.split("=")[0] for setting in settings)
    if own := [name for name in asked_for if name not in all_tasks() and f"tasks.{name}.kind" not in given]:
        remedy = "name the folder of its run"
        if RunFolder(folder.parent).config.is_file():
            remedy = f"name its run: {quoted(folder.parent)}"
        raise ConfigError(f"a model folder does not name the files of your task {own[0]!r}", file=folder, remedy=remedy)
    return made({"run": str(folder), "tasks": asked_for}, settings, folder)


def _check_able(folder: Path, name: str, known: Any) -> None:
    """Raise ConfigError unless the model can be asked for a task that it was not trained on: retrieval by the heads of
    pretraining."""
    task = all_tasks().get(name)
    pretrained = _mapping(model_folder(folder) / "config.json").get("pretraining") is True
    if task is not None and pretrained and task.kind == ABLE:
        return
    listed = ", ".join(known) or "none"
    others = "; pretraining heads support retrieval only" if pretrained and task is not None else ""
    raise ConfigError(
        f"the run has no task {name!r}{nearest(name, known)}{others}", file=folder, remedy=f"it has {listed}"
    )


def _mapping(file: Path, key: str | None = None) -> dict[str, Any]:
    """The object in a JSON file, or a member of it; empty if there is none (opening the model says what is wrong)."""
    tree = read_or_none(file)
    found = tree.get(key) if key is not None and isinstance(tree, dict) else tree
    return found if isinstance(found, dict) else {}


def _measured_by(config: RunConfig, names: Sequence[str], protocols: Sequence[str], gallery: int | None) -> RunConfig:
    """The configuration with the protocols, and the gallery, that the command line names."""
    known = own_tasks(config.tasks)
    chosen: dict[str, str] = {}
    for text in protocols:
        task, equals, name = text.rpartition("=")
        if equals and task not in names:
            raise ConfigError(
                f"--protocol {text}: {task!r} is not evaluated{nearest(task, names)}",
                remedy=f"name one of {', '.join(names)}",
            )
        able = [task] if equals else [each for each in names if name in get(each, known).protocols]
        if not able:
            offered = dict.fromkeys(protocol for each in names for protocol in get(each, known).protocols)
            raise ConfigError(
                f"no task that is evaluated has a protocol {name!r}{nearest(name, offered)}",
                remedy=f"they have {', '.join(offered)}",
            )
        for each in able:
            chosen[each] = get(each, known).protocol_name(name)
    kept = config.evaluation.protocols
    if gallery is not None:  # it counts for every retrieval task that is given no protocol beside it
        ranked = [name for name in config.tasks if get_output(get(name, known).kind).ranks_gallery]
        kept = {name: each for name, each in kept.items() if name not in ranked}
        if not set(ranked) & set(names):
            raise ConfigError("no task that is evaluated ranks a gallery", remedy="leave --gallery out")
    settings = config.evaluation.model_copy(
        update={"protocols": {**kept, **chosen}, "gallery": config.evaluation.gallery if gallery is None else gallery}
    )
    return config.model_copy(update={"evaluation": settings})


def label(protocols: Sequence[str], gallery: int | None) -> str:
    """The choice of ``--protocol`` and ``--gallery`` as a part of a file's name; "" without any."""
    parts = [*sorted(text.replace("=", "-") for text in protocols), *([f"gallery-{gallery}"] if gallery else [])]
    return "-".join(parts)


def _official(task: Task) -> bool:
    """Whether a task's dataset has an official file of results."""
    try:
        task.submission([], [])
    except ConfigError:
        return False
    return True
