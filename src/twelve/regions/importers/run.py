"""From a file of region features to a file of the store."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa

from twelve.errors import ConfigError, RegionError, located_problem
from twelve.formats.data_root import image_key
from twelve.progress import Track, counted
from twelve.regions.importers.base import BadRecord, ImageRecord, RawRegions, RegionSource
from twelve.regions.importers.converting import ClassProbabilities, Converter, Shape
from twelve.regions.importers.recognising import open_origin
from twelve.regions.store.arrow_format import schema
from twelve.regions.store.region_file import GIVEN, RegionFile, check_alike
from twelve.regions.store.resumable_writer import PartWriter, free_name, plain_name, remove_leftovers
from twelve.types.regions import Regions

_SAMPLES = 8
"""Number of records that determine the shape of a file."""
_LISTED = 1000
"""Number of invalid records that are listed; others are only counted."""


@dataclass(slots=True)
class ImportReport:
    """The result of an import.

    Attributes:
        source: image source.
        format: of the origin.
        fingerprint, feature_size: of the features.
        file: the region file written; None if there was nothing to do.
        written: images in that file, including those of earlier unfinished runs.
        resumed: images of earlier unfinished runs.
        present: images that finished files already contained.
        records: records of the origin; each is written, present, invalid or not wanted.
        unwanted: images of the origin that were not asked for.
        bad: number of invalid records, which were skipped.
        failed: {record: why} for the first thousand of them.
        counts: changes (see :class:`twelve.regions.importers.converting.Converter`).
        seconds: wall time.
    """

    source: str
    format: str
    fingerprint: str
    feature_size: int
    file: Path | None = None
    written: int = 0
    resumed: int = 0
    present: int = 0
    records: int = 0
    unwanted: int = 0
    bad: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def fail(self, record: str, reason: str) -> None:
        """Count an invalid record."""
        self.bad += 1
        if len(self.failed) < _LISTED:
            self.failed[record] = reason

    def __str__(self) -> str:
        if self.file is None:
            there = "the image is" if self.present == 1 else f"all {self.present:,} images are"
            text = f"{self.source}: nothing to do, {there} there"
        else:
            count = counted(self.written, "image")
            text = f"{self.source}: {count} of {self.format} in {self.file} ({self.seconds:.0f} s)"
            text += f", {self.resumed:,} of them from an earlier run" if self.resumed else ""
            were = "was" if self.present == 1 else "were"
            text += f"; {self.present:,} {were} there before" if self.present else ""
        others = "other" if self.unwanted == 1 else "others"
        text += f"; {self.unwanted:,} {others} not asked for" if self.unwanted else ""
        text += "".join(f"; {count} {what}" for what, count in sorted(self.counts.items()) if count)
        if self.bad:
            text += f"; {counted(self.bad, 'invalid record')} skipped:" + "".join(
                f"\n  {located_problem(*failed)}" for failed in self.failed.items()
            )
            text += f"\n  and {self.bad - len(self.failed)} more" if self.bad > len(self.failed) else ""
        return text


def import_regions(
    path: Path,
    out: Path,
    *,
    source: str,
    detector: str,
    format: str | None = None,
    name: str | None = None,
    index: Path | None = None,
    given: bool = False,
    images: Collection[str] | None = None,
    class_probabilities: ClassProbabilities = "none",
    dtype: str = "float16",
    progress: bool = True,
) -> ImportReport:
    """Import a file of region features into ``out/<source>/<name>.arrow``, or ``out/<source>/given/<name>.arrow``.

    An image's id is ``<source>/<key>``, with the key made from its name in the file
    (:func:`twelve.formats.data_root.image_key`). An import that was killed resumes when it is called again; a finished
    one does nothing, and images added to the origin later go to another file beside the first. Invalid records are
    listed and skipped. One batch of images is in memory at a time.

    Args:
        path: a file, or a folder of files of one format.
        out: root of the region store.
        detector: a name for what made the features. The fingerprint is made from it and the size of the features, so
            that only features with the same name can share a source.
        format: lmdb, tsv, npy or h5; None recognises it.
        name: of the file written; by default the origin's.
        index: for h5, names (and sizes) of the images.
        given: its boxes are candidates that a dataset gives, not detected ones; they join the image's detected regions.
        images: ids of the images that are wanted, with their source; None: all.
        class_probabilities: none, keep or foreground; see :data:`ClassProbabilities`.
        dtype: of stored features, float16 or bfloat16. Numbers beyond float16's range are clamped and counted.

    Raises:
        ConfigError: the settings cannot work.
        RegionError: the origin is missing, damaged or without a valid record; a finished file has another detector;
            the disk is full.
    """
    started = time.monotonic()
    for option, value in (("--source", source), ("--name", name)):
        if value is not None:
            plain_name(value, option)
    if not detector.strip():
        raise ConfigError(
            "the detector has no name", remedy="say what made the features: --detector x152-vg, for example"
        )
    with closing(open_origin(path, format, index)) as origin:
        shape = _shape(path, origin, class_probabilities, dtype)
        report = ImportReport(source, origin.format, _fingerprint(detector, shape.features), shape.features)
        folder = out / source / GIVEN if given else out / source
        remove_leftovers(folder)
        present = _present(folder, report.fingerprint, _origin(path) if given else None)
        table = _schema(path, origin, source, detector, shape, report.fingerprint)
        with PartWriter(free_name(folder, name or path.stem), table) as writer:
            report.resumed = len(writer.done)
            with Track(f"importing {source}", origin.total, origin.unit, shown=progress) as bar:
                converted = _converted(origin, Converter(shape), report, present, set(writer.done), images)
                for steps, regions, counts in converted:
                    bar.advance(steps)
                    if regions is not None:
                        writer.add(regions, counts)
            writer.flush()
            report.written, report.counts = len(writer.done), dict(writer.counts)
            _finish(writer, report)
    report.seconds = time.monotonic() - started
    return report


def _converted(
    origin: RegionSource,
    converter: Converter,
    report: ImportReport,
    present: set[str],
    done: set[str],
    wanted: Collection[str] | None,
) -> Iterator[tuple[int, Regions | None, Counter[str]]]:
    """For each record its steps, its regions (None if there are none to write) and what was changed in them."""
    seen = set[str]()
    for record in origin.records():
        report.records += 1
        if not isinstance(record, ImageRecord):
            report.fail(*record)
            yield 1, None, Counter()
            continue
        image_id, regions = f"{report.source}/{image_key(record.key)}", None
        if image_id in seen:
            report.fail(f"{record.label} (again)", f"{image_id} has come before")
        elif image_id in done or image_id in present:
            seen.add(image_id)
            report.present += image_id not in done
        elif wanted is not None and image_id not in wanted:
            seen.add(image_id)
            report.unwanted += 1
        else:
            try:
                if image_id == f"{report.source}/" or not image_id.isprintable():
                    raise BadRecord("it has no name")
                regions = converter.regions(image_id, record.load())
                seen.add(image_id)
            except BadRecord as error:
                report.fail(record.label, str(error))
        yield record.steps, regions, converter.counts if regions is not None else Counter()


def _finish(writer: PartWriter, report: ImportReport) -> None:
    """Check the counts and write the file, if there is anything to write."""
    if report.written + report.present + report.unwanted + report.bad != report.records:
        raise RegionError(
            f"{counted(report.records, 'record')}, but {report.written} written, {report.present} there before, "
            f"{report.unwanted} not wanted and {report.bad} bad",
            file=writer.target,
            remedy=f"the origin has changed: delete {writer.folder} and import again",
        )
    if writer.done:
        changed = {what: count for what, count in sorted(report.counts.items()) if count}
        extra = {"changed": json.dumps(changed)} if changed else {}
        writer.finish(extra | ({"failed": json.dumps(report.failed, sort_keys=True)} if report.bad else {}))
        report.file = writer.target
    elif not report.present and not report.unwanted:
        first = located_problem(*next(iter(report.failed.items()), ("it", "holds no record")))
        raise RegionError(
            f"none of the {report.records} records could be imported ({first})",
            file=writer.target,
            remedy="check the origin and --format",
        )


def _shape(path: Path, origin: RegionSource, handling: ClassProbabilities, dtype: str) -> Shape:
    """The shape of the first valid records."""
    reasons: list[str] = []

    def samples() -> Iterator[RawRegions]:
        for record in origin.records():
            try:
                if not isinstance(record, ImageRecord):
                    raise BadRecord(record[1])
                found = record.load()
            except BadRecord as error:
                if not reasons:
                    label = record.label if isinstance(record, ImageRecord) else record[0]
                    reasons.append(f" ({located_problem(label, str(error))})")
                continue
            if len(found.features):
                yield found

    shape = Shape.of(islice(samples(), _SAMPLES), handling, dtype)
    if shape is None:
        reason = reasons[0] if reasons else ""
        raise RegionError(f"none of its records has regions{reason}", file=path, remedy="check the file and --format")
    if handling != "none" and shape.class_probabilities is None:
        raise ConfigError(f"{path.name} has no class probabilities", remedy="leave --class-probabilities out")
    return shape


def _fingerprint(detector: str, features: int) -> str:
    settings = json.dumps({"imported": 1, "detector": detector, "features": features}, sort_keys=True)
    return hashlib.sha256(settings.encode()).hexdigest()[:16]


def _schema(path: Path, origin: RegionSource, source: str, detector: str, shape: Shape, mark: str) -> pa.Schema:
    metadata = {
        "format": "twelve regions 1",
        "fingerprint": mark,
        "detector": detector,
        "boxes_origin": _origin(path),
        "origin_format": origin.format,
        "source": source,
    }
    if shape.class_probabilities is not None:
        metadata["class_probabilities"] = (
            "background first" if shape.handling == "keep" else "without the background, rows divided by their sums"
        )
    return schema(
        feature_size=shape.features,
        scores=shape.scores,
        class_ids=shape.class_ids,
        class_probabilities=shape.class_probabilities,
        metadata=metadata,
        feature_dtype=shape.dtype,
    )


def _origin(path: Path) -> str:
    return f"imported from {path.name}"


def _present(folder: Path, mark: str, origin: str | None = None) -> set[str]:
    """Ids in the finished files of a folder, or in those from one origin (several datasets may give boxes of an image);
    raises RegionError if another detector made one of the files."""
    present: set[str] = set()
    unlike: list[RegionError] = []
    for path in sorted(folder.glob("*.arrow")):
        file = RegionFile(path)
        if file.fingerprint != mark:
            made = file.metadata.get("detector", "another extractor")
            problem = f"holds regions of {made} (fingerprint {file.fingerprint}, now {mark})"
            unlike.append(RegionError(problem, file=path))
            continue
        if origin is None or file.metadata.get("boxes_origin") == origin:
            present.update(image_id for view in file.views for image_id in view.ids)
    check_alike(unlike, "give another --out, the same --detector")
    return present
