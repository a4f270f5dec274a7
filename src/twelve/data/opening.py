"""Opens the data root and the region store of a run, and says what they lack and how to get it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from twelve.data.examples.columns import distinct_images, have_candidates, images_of, take
from twelve.data.files_there import data_root
from twelve.errors import ConfigError, RegionError, nearest
from twelve.formats.data_root import IMAGES, DataRoot, image_key
from twelve.io.image_suffixes import SUFFIXES
from twelve.regions.store.region_file import GIVEN
from twelve.regions.store.region_store import RegionStore
from twelve.settings import RunConfig
from twelve.tasks.base import Task, get
from twelve.tasks.custom import FileTask
from twelve.types.examples import Example


def open_root(
    config: RunConfig, names: Iterable[str], recipes: Mapping[str, str] | None = None
) -> tuple[DataRoot, RegionStore]:
    """The run's data root and region store.

    Args:
        names: tasks that need regions.
        recipes: image source -> how the model's regions were made.

    Raises:
        DataError: there is no data root.
        RegionError: there is no region store; gives the commands that make it.
    """
    root, folder = data_root(config), config.regions_folder
    store = RegionStore(folder, data=root.path, recipes=recipes)
    if folder.exists() and not folder.is_dir():
        remedy = "name the folder of regions, or remove the file"
        raise RegionError("a region store is a folder, this is a file", file=folder, remedy=remedy)
    if not folder.is_dir():
        givers: dict[str, list[Task]] = {}
        for task in (get(name, root.own_tasks) for name in names):
            givers.setdefault(root.image_source(task), []).extend([task] if task.has_candidates else [])
        commands = [command_for(store, source, given) for source, given in givers.items()]
        lacking = [str(root.path / IMAGES / source) for source in givers if not (root.path / IMAGES / source).is_dir()]
        first = f"put the images into {' and '.join(lacking)}, then " if lacking else ""
        raise RegionError("no such region store", file=folder, remedy=f"{first}make it: {' && '.join(commands)}")
    return root, store


def check_regions(
    store: RegionStore, task: Task, *parts: Sequence[Example], root: DataRoot | None = None, split: str | None = None
) -> None:
    """Check that every image of a task's examples has regions, also of its candidates.

    Args:
        root: the data root, to find the line of a task's own file that names the image.
        split: the split that the examples are from, where it need not be one of the task's.

    Raises:
        RegionError: some have none; names the first one, and says how many.
        ConfigError: none has any, and the folder that a task of one's own names for its images does not exist.
    """
    images = distinct_images(*parts)
    missing = [image for image in images if image not in store]
    if missing:
        first = missing[0]
        if isinstance(task, FileTask) and root is not None:  # extracting regions does not help where there is no image
            first = next((image for image in missing if root.image_file(image) is None), first)
        if isinstance(task, FileTask) and root is not None and (line := task.line_of(first, root, split)) is not None:
            record, name = line
            source = first.split("/")[0]
            problem = f"{name} has no regions ({len(missing)} of {len(images)} images of {task.name} have none)"
            remedy = f"run: {store.command(source)}"
            folder = root.path / IMAGES / source
            if (error := no_images(task, root, store, first, len(images))) is not None:
                raise error
            if root.image_file(first) is None:
                problem += f", and {folder} has no such image"
                remedy = f"correct the name in this line, or put the image into {folder} and {remedy}"
            raise RegionError(problem, file=record.file, record=record.place, remedy=remedy)
        named = misnamed(missing, root, store)
        raise RegionError(
            f"{len(missing)} of {len(images)} images of {task.name} have no regions, the first is {missing[0]}"
            f"{'' if named else ' (check that this image exists)'}",
            file=Path(store.root) / missing[0].split("/")[0],
            remedy=named or f"run: {store.command(missing[0].split('/')[0])}",
        )
    asked: dict[str, None] = {}
    for part in parts:
        asked |= dict.fromkeys(images[0] for images in images_of(take(part, have_candidates(part))).values)
    missing = [image for image in asked if not store.has_given(image)]
    if missing:
        source = missing[0].split("/")[0]
        raise RegionError(
            f"{len(missing)} of {len(asked)} images of {task.name} have no regions of the boxes that it gives, "
            f"the first is {missing[0]}",
            file=Path(store.root) / source / GIVEN,
            remedy=f"run: {command_for(store, source, [task], detected=False)}",
        )


def misnamed(missing: Iterable[str], root: DataRoot | None, store: RegionStore) -> str:
    """What to do where the first of these image ids has an extension, and is one of an image without it; or ""."""
    first = next(iter(missing))
    image = f"{first.split('/')[0]}/{image_key(first)}"
    if Path(first).suffix.lower() not in SUFFIXES:
        return ""
    if image not in store and (root is None or root.image_file(image) is None):
        return ""
    return f"{first!r} has an extension; image ids have none: write {image!r}"


def no_images(task: Task, root: DataRoot, store: RegionStore, missing: str, count: int) -> ConfigError | None:
    """The error of a task of one's own whose setting ``images`` names no folder; None if it names one.

    Args:
        missing: id of an image without regions.
        count: how many images the task has.
    """
    above, source = root.path / IMAGES, missing.split("/")[0]
    if source != task.source or (above / source).is_dir() or source in store.sources():
        return None
    folders = sorted(path.name for path in above.iterdir() if path.is_dir()) if above.is_dir() else []
    remedy = f"put the images into {above / source} and run: {store.command(source)}"
    if folders:
        shown = folders if len(folders) <= 6 else [*folders[:5], f"{len(folders) - 5} more"]
        remedy = f"name the folder of the images ({', '.join(shown)}), or {remedy}"
    return ConfigError(
        f"there is no folder {above / task.source}{nearest(task.source, folders)}, and none of the {count:,} images of "
        f"{task.name} has regions",
        record=f"tasks.{task.name}.images",
        remedy=remedy,
    )


def command_for(store: RegionStore, source: str, given: Sequence[Task], *, detected: bool = True) -> str:
    """The command that extracts the regions of a source, and those of the boxes that tasks give."""
    own = any(isinstance(task, FileTask) for task in given)
    return store.command(source, given=[task.name for task in given], detected=detected, own=own)
