"""From a file of region features to a file of the store."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa

from twelve.errors import ConfigError, RegionError
from twelve.formats.data_root import image_key
from twelve.progress import Track
from twelve.regions.importers.base import BadRecord, Found, Origin, Record
from twelve.regions.importers.converting import ClassProbabilities, Converter, Shape
from twelve.regions.importers.recognising import open_origin
from twelve.regions.store.arrow_format import MAX_IMAGES, schema
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.resumable_writer import PartWriter, free_name, remove_leftovers
from twelve.types.regions import Regions

_SAMPLES = 8
"""Records that show what the file holds."""
_BATCH_BYTES = 2**26
_LISTED = 1000
"""Bad records that are listed; more are only counted."""


@dataclass(slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        source: image source.
        file: the region file written, or None when there was nothing to do.
        format: of the origin.
        written: images in the file, those of earlier unfinished runs included.
        resumed: how many of them earlier unfinished runs had left.
        present: images that finished files already held.
        records: records of the origin; each is written, resumed, present or bad.
        bad: how many were left out.
        failed: {record: why} of the first thousand of them.
        counts: what was changed (see :class:`twelve.regions.importers.converting.Converter`).
        fingerprint, feature_size: of the features.
        seconds: wall time.
    """

    source: str
    format: str
    file: Path | None = None
    written: int = 0
    resumed: int = 0
    present: int = 0
    records: int = 0
    bad: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    feature_size: int = 0
    seconds: float = 0.0

    def fail(self, record: str, reason: str) -> None:
        """Count a record as bad."""
        self.bad += 1
        if len(self.failed) < _LISTED:
            self.failed[record] = reason

    def __str__(self) -> str:
        if self.file is None:
            text = f"{self.source}: nothing to do, all {self.present} images are there"
        else:
            text = f"{self.source}: {self.written} images of {self.format} in {self.file} ({self.seconds:.0f} s)"
            text += f", {self.resumed} of them from an earlier run" if self.resumed else ""
            text += f"; {self.present} were there before" if self.present else ""
        text += "".join(f"; {count} {what}" for what, count in sorted(self.counts.items()) if count)
        if self.bad:
            text += f"; {self.bad} bad records left out:" + "".join(f"\n  {k}: {v}" for k, v in self.failed.items())
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
    class_probabilities: ClassProbabilities = "none",
    dtype: str = "float16",
    progress: bool = True,
) -> ImportReport:
    """Bring a file of region features into ``out/<source>/<name>.arrow``.

    An image's id is ``<source>/<key>``, the key made of what the file calls it
    (:func:`twelve.formats.data_root.image_key`). Killed at any point, it goes on where it stopped when called again;
    finished, it does nothing, and images that the origin has got since go to a further file beside the first. Records
    that are bad are listed, not fatal. One batch of images is in memory at a time.

    Args:
        path: a file, or a folder of files of one format.
        out: root of the region store.
        detector: what made the features, in the user's words; the fingerprint is made of it and of their size, so that
            files of one detector may share a source, and those of two may not.
        format: lmdb, tsv, npy or h5; None recognises it.
        name: of the file written; by default the origin's.
        index: for h5, names (and sizes) of the images.
        class_probabilities: none, keep or foreground, of files that have them.
        dtype: that features are stored in, float16 or bfloat16. Numbers beyond float16's range are clamped and counted.

    Raises:
        ConfigError: settings that cannot work.
        RegionError: the origin is missing, damaged or holds nothing good; a finished file is of another detector; the
            disk is full.
    """
    started = time.monotonic()
    _check_names(source, name, detector)
    with closing(open_origin(path, format, index)) as origin:
        shape = _shape(path, origin, class_probabilities, dtype)
        report = ImportReport(source, origin.format, feature_size=shape.features)
        report.fingerprint = _fingerprint(detector, shape.features)
        folder = out / source
        remove_leftovers(folder)
        run = _Import(origin, source, shape, report, _present(folder, report.fingerprint))
        target = free_name(folder, name or path.stem)
        run.into(target, _schema(path, origin, source, detector, shape, report.fingerprint), progress=progress)
    report.seconds = time.monotonic() - started
    return report


@dataclass(slots=True)
class _Import:
    origin: Origin
    source: str
    shape: Shape
    report: ImportReport
    present: set[str]

    def into(self, target: Path, table: pa.Schema, *, progress: bool) -> None:
        report = self.report
        with PartWriter(target, table) as writer:
            report.resumed = len(writer.done)
            with Track(f"importing {self.source}", self.origin.total, self.origin.unit, shown=progress) as bar:
                self._fill(writer, bar)
            report.written, report.counts = len(writer.done), dict(writer.counts)
            if report.written + report.present + report.bad != report.records:
                raise RegionError(
                    f"{report.records} records, but {report.written} written, {report.present} there before and "
                    f"{report.bad} bad",
                    file=target,
                    remedy=f"the origin has changed: delete {writer.folder} and import again",
                )
            if writer.done:
                writer.finish(self._extra())
                report.file = target
            elif not report.present:
                first, why = next(iter(report.failed.items()), ("it", "holds no record"))
                raise RegionError(
                    f"none of the {report.records} records could be imported ({first}: {why})",
                    file=target,
                    remedy="check the origin and --format",
                )

    def _extra(self) -> dict[str, str]:
        extra = {what: count for what, count in sorted(self.report.counts.items()) if count}
        found = {"changed": json.dumps(extra)} if extra else {}
        if self.report.bad:
            found["failed"] = json.dumps(self.report.failed, sort_keys=True)
        return found

    def _fill(self, writer: PartWriter, bar: Track) -> None:
        batch: list[Regions] = []
        counts: Counter[str] = Counter()
        size = 0
        for regions, own, steps in self._regions(frozenset(writer.done)):
            bar.advance(steps)
            if regions is None:
                continue
            batch.append(regions)
            counts += own
            size += 0 if regions.features is None else regions.features.nbytes
            if len(batch) == MAX_IMAGES or size >= _BATCH_BYTES:
                writer.write(batch, counts)
                batch, counts, size = [], Counter(), 0
        if batch:
            writer.write(batch, counts)

    def _regions(self, done: frozenset[str]) -> Iterator[tuple[Regions | None, Counter[str], int]]:
        """Regions, what was changed in them and the steps they take, of every record; None for one without any."""
        report, converter, seen = self.report, Converter(self.shape), set[str]()
        nothing: Counter[str] = Counter()
        for record in self.origin.records():
            report.records += 1
            if not isinstance(record, Record):
                report.fail(*record)
                yield None, nothing, 1
                continue
            image_id, regions = f"{self.source}/{image_key(record.key)}", None
            if image_id in seen:
                report.fail(f"{record.label} (again)", f"{image_id} has come before")
            elif image_id in done or image_id in self.present:
                seen.add(image_id)
                report.present += image_id not in done
            else:
                try:
                    regions = converter.regions(_named(image_id, self.source), record.load())
                    seen.add(image_id)
                except BadRecord as error:
                    report.fail(record.label, str(error))
            yield regions, converter.counts if regions is not None else nothing, record.steps


def _named(image_id: str, source: str) -> str:
    if image_id == f"{source}/" or not image_id.isprintable():
        raise BadRecord("it has no name")
    return image_id


def _shape(path: Path, origin: Origin, handling: ClassProbabilities, dtype: str) -> Shape:
    """What the origin's records have, by the first good ones."""

    def samples() -> Iterator[Found]:
        for record in origin.records():
            if isinstance(record, Record):
                try:
                    found = record.load()
                except BadRecord:
                    continue
                if len(found.features):
                    yield found

    shape = Shape.of(islice(samples(), _SAMPLES), handling, dtype)
    if shape is None:
        reason = _first_reason(origin)
        raise RegionError(f"none of its records has regions{reason}", file=path, remedy="check the file and --format")
    if handling != "none" and shape.class_probabilities is None:
        raise ConfigError(f"{path.name} has no class probabilities", remedy="leave --class-probabilities out")
    return shape


def _first_reason(origin: Origin) -> str:
    for record in origin.records():
        if not isinstance(record, Record):
            return f" ({record[0]}: {record[1]})"
        try:
            record.load()
        except BadRecord as error:
            return f" ({record.label}: {error})"
    return ""


def _fingerprint(detector: str, features: int) -> str:
    settings = json.dumps({"imported": 1, "detector": detector, "features": features}, sort_keys=True)
    return hashlib.sha256(settings.encode()).hexdigest()[:16]


def _schema(path: Path, origin: Origin, source: str, detector: str, shape: Shape, mark: str) -> pa.Schema:
    metadata = {
        "format": "twelve regions 1",
        "fingerprint": mark,
        "detector": detector,
        "boxes_origin": f"imported from {path.name}",
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


def _present(folder: Path, mark: str) -> set[str]:
    """Ids that finished files of a source hold; raises RegionError if they are of another detector."""
    present: set[str] = set()
    for path in sorted(folder.glob("*.arrow")):
        file = RegionFile(path)
        if file.fingerprint != mark:
            made = file.metadata.get("detector", "another extractor")
            raise RegionError(
                f"holds regions of {made} (fingerprint {file.fingerprint}, now {mark})",
                file=path,
                remedy="give another --out, the same --detector, or delete that file",
            )
        present.update(image_id for view in file.views for image_id in view.ids)
    return present


def _check_names(source: str, name: str | None, detector: str) -> None:
    for option, value in (("--source", source), ("--name", name)):
        if value is not None and (value.strip() in ("", ".", "..") or "/" in value or "\\" in value):
            raise ConfigError(f"{option} {value!r} is not a name", remedy="give a plain name such as coco, not a path")
    if not detector.strip():
        raise ConfigError(
            "the detector has no name", remedy="say what made the features: --detector x152-vg, for example"
        )
