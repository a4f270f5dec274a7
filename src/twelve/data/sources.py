"""The sources of tasks' images: as a command or a configuration names them, and found where the images lie."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from twelve.config import load, naming
from twelve.downloads.registry import shipped
from twelve.errors import ConfigError, MissingData, RegionError, quoted
from twelve.formats.data_root import COCO, IMAGES, SOURCES, DataRoot, image_key, is_drawn
from twelve.io.files import folder_beside, from_here
from twelve.regions.store.region_store import RegionStore
from twelve.tasks.base import Task, all_tasks, get
from twelve.tasks.custom import own_tasks

MOST = 0.9
"""If this share of a task's images is missing, all of them may be elsewhere."""


def parse_sources(words: Sequence[str] | None, own: Mapping[str, Task] | None = None) -> dict[str, str]:
    """``["refcoco=flickr30k"]`` as task -> source; ``own``: a run's own tasks.

    Raises:
        ConfigError: one is not TASK=SOURCE, or names no task.
    """
    found = {}
    for word in words or ():
        task, equals, source = word.partition("=")
        if not (equals and task and source):
            raise ConfigError(
                f"--source {word!r} is not TASK=SOURCE", remedy="give for instance --source refcoco=flickr30k"
            )
        found[get(task, own).name] = source
    return found


def opened(
    path: Path,
    tasks: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    config: str | None = None,
    settings: Sequence[str] = (),
    *,
    command: str = "check",
    more: Mapping[str, Sequence[object]] = MappingProxyType({}),
) -> tuple[DataRoot, list[str] | None]:
    """The data root that a command names, and its tasks; None for all tasks that the root has.

    Args:
        tasks: names; by default, those of the configuration.
        sources: ``TASK=SOURCE``; these precede those of the configuration, which precede ``sources.json``.
        config: a configuration file; its own tasks can be named.
        settings: ``a.b=c``, which change the configuration.
        command: the one of ``twelve data`` that names them, for errors; ``more``: its further options -> values.

    Raises:
        ConfigError: an unknown task, settings without a configuration, or a mistake in one of these.
        DataError: the data root does not exist, or has no file of these tasks while that of the configuration has.
    """
    named: Mapping[str, str] = {}
    own: Mapping[str, Task] = {}
    if config is None and settings:
        problem = "there is no configuration to change"
        raise ConfigError(problem, file=f"--set {settings[0]}", remedy="add --config FILE, or omit --set")
    if config is not None:
        parsed = load(config, settings)
        with naming(config, settings):
            named, own = parsed.sources, own_tasks(parsed.tasks)
        configured, asked, tasks = Path(parsed.data), tasks or (), tasks or list(parsed.tasks)
    try:
        chosen = [get(name, own).name for name in tasks or ()]
    except ConfigError as error:
        if config is not None:
            raise
        remedy = f"{error.remedy}; a task of your own is found with --config FILE, the configuration that defines it"
        raise ConfigError(error.problem, remedy=remedy) from None
    given = {**named, **parse_sources(sources, own)}
    if config is not None and not _has_files(path, own, chosen) and _has_files(configured, own, chosen):
        options = {"--task": asked, "--source": sources or (), "--config": [config], "--set": settings, **more}
        words = [str(word) for option, values in options.items() for value in values for word in (option, value)]
        which = f"the task{'s' * (len(chosen) > 1)} {', '.join(chosen)}"
        problem = f"no file of {which} is in this folder; they are in {configured}, the data root of {config}"
        remedy = f"name that folder: {shlex.join(['twelve', 'data', command, str(configured), *words])}"
        raise MissingData(problem, file=path, remedy=remedy)
    if not path.exists():
        remedy = f"name a folder that exists, or fetch the official files: {fetching(path, chosen)}"
        raise MissingData(f"data root not found{from_here(path)}{folder_beside(path)}", file=path, remedy=remedy)
    return DataRoot(path, given, own), chosen or None


def _has_files(root: Path, own: Mapping[str, Task], names: Sequence[str]) -> bool:
    """Whether a data root has a training file or a test file of one of these tasks."""
    tasks = [get(name, own) for name in names]
    files = [
        (task.folder, name)
        for task in tasks
        for split in (task.train_split, task.test_split)
        for name in task.files(split)
    ]
    return any((root / folder / name).exists() for folder, name in files)


def fetching(path: Path, names: Sequence[str] = ()) -> str:
    """The command that fetches the files of the named tasks into a data root, or those of one task as an example."""
    known = [name for name, task in all_tasks().items() if not task.extra]
    named = [name for name in names if name in known] or known[:1]
    return f"twelve data fetch {' '.join(named)} --root {quoted(path)}"


def fetching_images(root: DataRoot, task: Task) -> str | None:
    """The command that fetches the images of a task; None where they have no public URL, or are not the official
    ones."""
    if is_drawn(root.path) or root.image_source(task) != task.source:
        return None
    public = any(one.kind == "image" and one.urls and task.name in one.tasks for one in shipped())
    return f"twelve data fetch {task.name} --images --root {quoted(root.path)}" if public else None


def elsewhere(root: DataRoot, task: Task, missing: Sequence[str], store: RegionStore | None = None) -> str | None:
    """Where the missing images of a task are, and what to do about it; None where they are not found.

    Args:
        missing: image ids; those of another source than the task's are ignored.
        store: also searched, for regions.
    """
    source = root.image_source(task)
    keys = [image.partition("/")[2] for image in missing if image.partition("/")[0] == source]
    found = Counter({other: _held(root, other, keys, store) for other in _others(root, source, store)})
    if not found:
        return None
    other, count = found.most_common(1)[0]
    if not keys or count < MOST * len(keys):
        return None
    text = f"{count:,} of {len(keys):,} have the names of images in {IMAGES}/{other}"
    if source == COCO and _named_coco(root, other, keys):
        return f"{text}: move these into {IMAGES}/{COCO}, since files named COCO_* belong there"
    line = json.dumps({**root.sources, task.name: other})
    return (
        f"{text}: if these are the images, use --source {task.name}={other}; to keep it, write {line} into "
        f"{root.path / SOURCES}, and in a configuration, sources: {{{task.name}: {other}}}"
    )


def _others(root: DataRoot, source: str, store: RegionStore | None) -> list[str]:
    folder = root.path / IMAGES
    names = {entry.name for entry in folder.iterdir() if entry.is_dir()} if folder.is_dir() else set()
    return sorted((names | set(store.sources() if store is not None else ())) - {source})


def _held(root: DataRoot, source: str, keys: Sequence[str], store: RegionStore | None) -> int:
    """Number of these images that a source has, as files or regions."""
    names = [f"{source}/{key}" for key in keys]
    try:
        return sum(root.image_file(name) is not None or (store is not None and name in store) for name in names)
    except RegionError:  # reported where these regions are needed
        return 0


def _named_coco(root: DataRoot, source: str, keys: Sequence[str]) -> bool:
    """Whether the files of these images have the long names of COCO, which include their source."""
    path = next((path for key in keys if (path := root.image_file(f"{source}/{key}")) is not None), None)
    return path is not None and path.name.startswith("COCO_") and image_key(path.name).isdigit()
