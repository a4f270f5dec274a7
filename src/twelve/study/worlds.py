"""The worlds of a study: each seed generates one, or takes it from another study that has generated the same.

What was generated is described by a fingerprint, which lies beside it and is compared when another study takes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

from twelve.data.examples.store import checksum
from twelve.errors import ConfigError, DataError, RegionError, TwelveError
from twelve.formats.data_root import DRAWN
from twelve.formats.records import read_object
from twelve.io import files
from twelve.settings import RunConfig, Strict
from twelve.study.plan import checked
from twelve.study.results import seed_folder

FILE = "world.json"
DATA, REGIONS = "data", "regions"
REMEDY = "leave out --worlds-of: the world is then generated here"


class WorldRecord(Strict):
    """SHA-256 of a world's files and of its regions (:func:`fingerprint`)."""

    data: str
    regions: str


def is_finished(study: Path, seed: int) -> bool:
    """Whether a study has a world for a seed, with all its regions."""
    return files.is_there(seed_folder(study, seed) / FILE, DataError)


def provide(config: RunConfig, folder: Path, study: Path | None = None) -> None:
    """Make sure that a seed has its world and the regions of its images: take them from another study, or draw them.

    Args:
        config: of the seed.
        folder: of the seed.
        study: the folder of a study whose world is taken, if it has a finished one.

    Raises:
        ConfigError: that study drew another world.
        DataError: its files are not those that it drew.
        RegionError: its regions are of another extractor.
    """
    if study is not None and is_finished(study, config.seed) and not (folder / FILE).exists():
        _take(config, folder, seed_folder(study, config.seed))
    draw(config)
    if not files.is_there(folder / FILE, DataError):
        found = WorldRecord(data=fingerprint(folder / DATA), regions=fingerprint(folder / REGIONS))
        with files.replacing(folder / FILE) as partial:
            partial.write_text(json.dumps(found.model_dump(), indent=1) + "\n", encoding="utf-8")


def draw(config: RunConfig) -> None:
    """Generate the microworld of a configuration, with the images of its tasks, and extract their regions, unless they
    exist."""
    from twelve.regions.extraction.extract import COMPLETE, extract_root

    _make(config, Path(config.data))
    if not files.is_there(config.regions_folder / COMPLETE, RegionError):
        extract_root(Path(config.data), config.regions_folder)


def _make(config: RunConfig, folder: Path) -> None:
    """Generate the microworld of a configuration in a folder; if one is there, compare it.

    Images of other tasks than the configuration's are left out: they take most of the time and the disk space.
    """
    from twelve.microworld.apart import collection
    from twelve.microworld.make import ALL, WRITERS, make_microworld
    from twelve.microworld.world import WorldSizes

    asked, known = config.microworld, set(config.tasks) <= set(WRITERS)  # a task of one's own may have any images
    needed = ALL & {config.sources.get(task, collection(task)) for task in config.tasks} if known else ALL
    make_microworld(
        folder,
        config.seed,
        WorldSizes().scaled(asked.scale),
        apart=asked.apart,
        draw_wordings=asked.draw_wordings,
        collections=None if needed == ALL else needed,
    )


def fingerprint(folder: Path) -> str:
    """SHA-256 of the names and contents of all files of a folder but hidden ones, 64 hexadecimal digits."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    digest = hashlib.sha256()
    for name, path in sorted(found.items()):
        if not any(part.startswith(".") for part in name.split("/")):
            digest.update(f"{name}\0{checksum(path)}\n".encode())
    return digest.hexdigest()


def _take(config: RunConfig, folder: Path, theirs: Path) -> None:
    """Link the world of another study's seed into a seed's folder, or copy it to another disk."""
    from twelve.regions.extraction.extract import COMPLETE

    known = checked(WorldRecord, read_object(theirs / FILE), REMEDY)
    _check_same(config, theirs / DATA)
    for part, wanted in ((DATA, known.data), (REGIONS, known.regions)):
        if (folder / part).exists():
            continue
        with files.replacing(folder / part) as partial:
            _check_regular(theirs / part)
            try:
                shutil.copytree(theirs / part, partial, copy_function=_link)
            except (OSError, shutil.Error) as error:
                raise DataError(f"cannot be taken: {error}", file=theirs / part, remedy=REMEDY) from None
            if fingerprint(partial) != wanted:
                raise DataError("its files have changed since they were generated", file=theirs / part, remedy=REMEDY)
            (partial / COMPLETE).unlink(missing_ok=True)  # draw() then compares the extractor
    try:
        draw(config)
    except RegionError as error:
        files.remove(folder / REGIONS)
        raise RegionError(error.problem, file=theirs / REGIONS, remedy=REMEDY) from None


def _check_same(config: RunConfig, theirs: Path) -> None:
    """Raises ConfigError if a data root is not the world that a configuration asks for."""
    if not files.is_there(theirs / DRAWN, DataError):
        raise DataError("the world is gone", file=theirs, remedy=REMEDY)
    try:  # a world that is there is compared, and none is generated
        _make(config, theirs)
    except TwelveError as error:
        raise ConfigError(error.problem, file=theirs, record="worlds-of", remedy=REMEDY) from None


def _check_regular(folder: Path) -> None:
    """Raises DataError for a link, a pipe or a device in a folder, which would lead out of it."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DataError("not a regular file", file=path, remedy=REMEDY)


def _link(source: str, target: str) -> None:
    """Link a file, or copy it where the file system has no links between these places."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
