"""Merges region files of one source.

Images keep the order of the files. Each record batch is compared with its checksum before anything is written; the new
file has its own checksums. It appears under its name only when it is complete, and a merge that was killed resumes. The
regions of one batch are in memory at a time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from twelve.errors import ConfigError, RegionError
from twelve.io import json_file
from twelve.io.files import write_error
from twelve.progress import Track, counted
from twelve.regions.store.inspect import inspect
from twelve.regions.store.region_file import GIVEN, RegionFile
from twelve.regions.store.resumable_writer import METADATA_CHECKSUM, PartWriter, remove_leftovers
from twelve.types.regions import OPTIONAL, Regions, distinct_rows, joined, select


@dataclass(frozen=True, slots=True)
class MergeReport:
    """The result of a merge.

    Attributes:
        target: the merged file.
        written: False if it contained everything already.
        files: number of files read.
        images, regions: number in the merged file.
        equal: number of duplicate images (for given boxes: boxes) that were dropped.
        removed: number of files deleted.
    """

    target: Path
    written: bool
    files: int
    images: int
    regions: int
    equal: int
    removed: int = 0

    def __str__(self) -> str:
        parts = (counted(self.images, "image"), counted(self.regions, "region"), f"of {counted(self.files, 'file')}")
        text = f"{self.target}: {', '.join(parts)}"
        if not self.written:
            whole = "the image" if self.images == 1 else f"all {self.images:,} images"
            text = f"{self.target}: nothing to do, it holds {whole}"
        text += f"; {counted(self.equal, 'equal duplicate')} dropped" if self.equal else ""
        return text + (f"; {counted(self.removed, 'file')} removed" if self.removed else "")


def merge(paths: Sequence[Path], out: Path, *, remove: bool = False, progress: bool = True) -> list[MergeReport]:
    """Merge region files of one source into ``out``, and those of given boxes into ``given/<name of out>`` beside it.

    If an image is in two files, one copy is dropped if both are equal; otherwise it is an error. Files of given boxes
    may share images; their boxes are joined, each box once. An existing file at ``out`` is the first to be merged.

    Args:
        paths: region files, or folders of a source with their ``given`` folder.
        remove: delete the other files at the end. Required if they are in the folder of ``out``, where their images
            would be duplicates.

    Raises:
        ConfigError: there is nothing to merge, or ``out`` is beside its parts.
        RegionError: a file is damaged; files have different extractors, sources or columns, or differ in an image; the
            disk is full.
    """
    detected, given = _inputs(paths)
    pairs = [(detected, out, False), (given, out if out.parent.name == GIVEN else out.parent / GIVEN / out.name, True)]
    merges = [_Merge(_with(target, files), target, whole) for files, target, whole in pairs if files]
    if detected and out.parent.name == GIVEN:
        raise ConfigError(
            f"{detected[0].name} holds detected regions, which {GIVEN}/ does not", remedy="give another --out"
        )
    if not merges:
        raise ConfigError("no region files to merge", remedy="name files, or the folder of a source")
    for one in merges:
        one.check(merges[0].files[0], remove)
    return [one.run(remove, progress) for one in merges]


def _inputs(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Files of detected regions, and of given boxes, each once."""
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise RegionError("no such file", file=path, remedy="check the path")
        inside = [*sorted(path.glob("*.arrow")), *sorted(path.glob(f"{GIVEN}/*.arrow"))]
        for file in inside if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    files = list(found.values())
    return [f for f in files if f.resolve().parent.name != GIVEN], [
        f for f in files if f.resolve().parent.name == GIVEN
    ]


def _with(target: Path, files: list[Path]) -> list[Path]:
    """The files, with the one at the target first."""
    there = target.resolve()
    return [*([target] if target.exists() else []), *(file for file in files if file.resolve() != there)]


class _Merge:
    """One merged file.

    Args:
        joins: join the regions of an image in several files, for given boxes.
    """

    def __init__(self, paths: Sequence[Path], target: Path, joins: bool) -> None:
        self.target, self.joins = target, joins
        self.files = [RegionFile(path) for path in paths]
        # Image id -> places (file, record batch, row), in order of first appearance.
        self.places: dict[str, list[tuple[int, int, int]]] = {}
        for k, file in enumerate(self.files):
            for number, view in enumerate(file.views):
                for row, image_id in enumerate(view.ids):
                    self.places.setdefault(image_id, []).append((k, number, row))
        self.equal = 0

    def check(self, first: RegionFile, remove: bool) -> None:
        """Raise if the files cannot be merged; all are compared with ``first``."""
        for file in self.files:
            # Given boxes are also compared with detected regions, whose boxes always differ.
            differs = file.difference(first, boxes=not self.joins) or _other_source(file, first)
            other = first
            if not differs:
                differs, other = _other_columns(file, self.files[0]), self.files[0]
            if differs:
                raise RegionError(
                    f"cannot be merged with {other.path}: {differs[0]} here, {differs[1]} there",
                    file=file.path,
                    remedy="merge the files of one extractor and one source only",
                )
            beside = file.path.resolve().parent == self.target.resolve().parent
            if beside and not remove and file.path.resolve() != self.target.resolve():
                raise ConfigError(
                    f"{self.target.name} would be beside {file.path.name}, and every image would be there twice",
                    remedy="remove the merged files (--remove), or give an --out elsewhere",
                )

    def run(self, remove: bool, progress: bool) -> MergeReport:
        """Verify, write unless the target contains everything, and remove the other files if asked."""
        remove_leftovers(self.target.parent)
        with Track(f"merging {self.target.name}", 2 * len(self.places), "images", shown=progress) as bar:
            self._verify(bar)
            regions, new = self._compare()
            if new:
                self._write(bar)
        report = MergeReport(self.target, new, len(self.files), len(self.places), regions, self.equal)
        others = [file.path for file in self.files if file.path != self.target] if remove else []
        for path in others:
            try:
                path.unlink()
            except OSError as error:
                raise write_error(error, path) from error
        return replace(report, removed=len(others))

    def _verify(self, bar: Track) -> None:
        for file in self.files:
            (found,) = inspect(file.path, verify=True)
            if found.problem:
                raise RegionError(
                    found.problem, file=file.path, remedy="delete it and extract or import its images again"
                )
            bar.advance(len(file))

    def _compare(self) -> tuple[int, bool]:
        """The number of regions, and whether the target lacks any; counts duplicates."""
        regions, new = 0, self.files[0].path != self.target
        for image_id, places in self.places.items():
            count = len(self._image(image_id).boxes)
            own = sum(self._regions(place).boxes.shape[0] for place in places if place[0] == 0)
            regions, new = regions + count, new or own != count or (places[0][0] != 0)
            self.equal += (
                sum(len(self._regions(place).boxes) for place in places) - count if self.joins else len(places) - 1
            )
        return regions, new

    def _regions(self, place: tuple[int, int, int]) -> Regions:
        file, batch, row = place
        return self.files[file].views[batch].regions(row)

    def _image(self, image_id: str) -> Regions:
        """The regions of an image; raises RegionError if files differ."""
        first, *others = self.places[image_id]
        image = self._regions(first)
        if self.joins:
            image = joined([image, *map(self._regions, others)])
            return select(image, distinct_rows(image.boxes)) if others else image
        for place in others:
            if not _equal(image, self._regions(place)):
                raise RegionError(
                    f"the image differs from that in {self.files[first[0]].path}",
                    file=self.files[place[0]].path,
                    record=image_id,
                    remedy="remove the file that is out of date",
                )
        return image

    def _write(self, bar: Track) -> None:
        with PartWriter(self.target, self._schema()) as writer:
            done = set(writer.done)
            for image_id in self.places:
                bar.advance()
                if image_id not in done:
                    writer.add(self._image(image_id))
            writer.flush()
            writer.finish({})

    def _schema(self) -> pa.Schema:
        try:
            metadata = combined([file.metadata for file in self.files])
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            problem = f"the list of skipped images in it, or in a file merged with it, cannot be read ({error})"
            raise RegionError(
                problem, file=self.files[0].path, remedy="delete it and extract its images again"
            ) from error
        return self.files[0].schema.with_metadata(metadata)


def combined(all_metadata: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Combine the metadata of files: equal values once, others joined by " + ", counts summed."""
    found: dict[str, list[str]] = {}
    for metadata in all_metadata:
        for key, value in metadata.items():
            if key != METADATA_CHECKSUM and value not in found.setdefault(key, []):
                found[key].append(value)
    result = {key: " + ".join(values) for key, values in found.items()}
    if "failed" in found:
        result["failed"] = json.dumps({k: v for text in found["failed"] for k, v in json_file.decode(text).items()})
    if "changed" in found:
        counts: Counter[str] = Counter()
        for metadata in all_metadata:
            counts.update(json_file.decode(metadata.get("changed", "{}")))
        result["changed"] = json.dumps(counts, sort_keys=True)
    return result


def _columns(file: RegionFile) -> list[str]:
    return [f"{field.name} {field.type}" for field in file.schema]


def _other_columns(file: RegionFile, first: RegionFile) -> tuple[str, str] | None:
    own, others = _columns(file), _columns(first)
    if own == others:
        return None
    only = (sorted(set(own) - set(others)), sorted(set(others) - set(own)))
    return f"columns {', '.join(only[0]) or 'fewer'}", ", ".join(only[1]) or "fewer"


def _other_source(file: RegionFile, first: RegionFile) -> tuple[str, str] | None:
    own, others = (_sources(one) for one in (file, first))
    return (f"source {', '.join(own)}", ", ".join(others)) if own and others and own != others else None


def _sources(file: RegionFile) -> list[str]:
    return sorted({image_id.partition("/")[0] for view in file.views for image_id in view.ids})


def _equal(one: Regions, other: Regions) -> bool:
    arrays = [(getattr(one, name), getattr(other, name)) for name in ("boxes", *OPTIONAL)]
    same = all((a is None and b is None) or np.array_equal(a, b) for a, b in arrays)
    return same and (one.width, one.height) == (other.width, other.height)
