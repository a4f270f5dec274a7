"""Reports the contents of a region store, and verifies its checksums."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from twelve.errors import RegionError, located_problem, one_line
from twelve.io import json_file
from twelve.progress import counted
from twelve.regions.asked import region_files
from twelve.regions.store.arrow_format import BatchView, checksum
from twelve.regions.store.region_file import RegionFile
from twelve.regions.store.resumable_writer import METADATA_CHECKSUM, metadata_checksum
from twelve.types.half_precision import as_float32

_LONG = 48
"""Longest setting that is shown in full, in characters."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """One region file.

    Attributes:
        problem: what is wrong with it, or None.
        unchecked: number of record batches without a checksum.
        verified: all values were read and compared.
        metadata: as recorded, with JSON decoded: ``boxes_origin``, ``classes``, ``settings``, ``recipe``, ...
    """

    path: Path
    images: int = 0
    regions: int = 0
    feature_size: int | None = None
    fingerprint: str = ""
    problem: str | None = None
    unchecked: int = 0
    verified: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.problem:
            return one_line(located_problem(str(self.path), self.problem))
        if self.verified:
            return f"{self._line()}: {'ok' if not self.unchecked else 'as far as it can be checked, ok'}"
        return "\n  ".join([self._line(), *map(one_line, self._made())])

    @property
    def name(self) -> str | None:
        """The network, as ``--backbone`` takes it, or the detector that imported regions name; None: not recorded."""
        parts = [self.metadata.get("recipe"), self.metadata.get("settings")]
        names = [part.get("backbone") for part in parts if isinstance(part, dict)]
        return next((str(name) for name in [*names, self.metadata.get("detector")] if name), None)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "path": str(self.path),
            "problem": self.problem,
            "images": self.images,
            "regions": self.regions,
            "feature_size": self.feature_size,
            "fingerprint": self.fingerprint,
            "name": self.name,
            "source": self.metadata.get("source"),
            "metadata": dict(self.metadata),
        }

    def _made(self) -> list[str]:
        """How it was made, as far as recorded, one line per item."""
        lines = [f"name: {self.name or 'not recorded'}{self._backbone()}"]
        if source := self.metadata.get("source"):
            lines.append(f"source of images: {source}")
        if origin := self.metadata.get("boxes_origin"):
            lines.append(f"boxes: {origin}")
        if fidelity := self.metadata.get("fidelity"):
            lines.append(f"compared with fp32: {fidelity}")
        classes = self.metadata.get("classes")
        if isinstance(classes, list):
            lines.append(f"classes: {len(classes):,} ({', '.join(map(str, classes[:3]))}, ...)")
        for key in ("settings", "recipe"):
            found = self.metadata.get(key)
            if isinstance(found, dict):
                told = (f"{name} {_short(value)}" for name, value in found.items() if value not in (None, "", False))
                lines.append(f"{key}: {', '.join(told)}")
        return lines

    def _backbone(self) -> str:
        """The options that extract regions of other images with the same network; empty for imported ones."""
        recipe = self.metadata.get("recipe")
        if not isinstance(recipe, dict) or not recipe.get("backbone"):
            return ""
        named = [name for name in ("backbone", "weights", "boxes") if recipe.get(name)]
        options = [part for name in named for part in (f"--{name}", str(recipe[name]))]
        return f" (twelve regions extract {shlex.join(options)})"

    def _line(self) -> str:
        size = "boxes only" if self.feature_size is None else f"{self.feature_size} features"
        text = f"{self.path}: {counted(self.images, 'image')}, {counted(self.regions, 'region')}, {size}"
        if self.fingerprint and self.feature_size is not None:
            text += f", extractor {self.fingerprint}"
        return one_line(text) + (f", {self.unchecked} batches without a checksum" if self.unchecked else "")


def _short(value: Any) -> str:
    """A setting on one line: lists and mappings without brackets and quotes, long values abbreviated."""
    if isinstance(value, dict):
        return " ".join(f"{key} {_short(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ",".join(map(_short, value))
    return str(value) if len(str(value)) <= _LONG else f"{str(value)[:12]}..."


def _read(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Metadata with JSON values decoded."""
    found: dict[str, Any] = {}
    for key, text in metadata.items():
        try:
            found[key] = json_file.decode(text) if text[:1] in ("{", "[") else text
        except json_file.Flaw:
            found[key] = text
    return found


def inspect(path: Path, *, verify: bool = False) -> Iterator[FileReport]:
    """Report every region file at ``path``: a file, a source's folder or a store.

    Args:
        verify: read all values and compare them with the recorded checksums.

    Raises:
        RegionError: there are no region files.
    """
    for file in region_files(path):
        try:
            yield _report(RegionFile(file), verify)
        except RegionError as error:
            yield FileReport(file, problem=error.problem)


def _report(file: RegionFile, verify: bool) -> FileReport:
    problem, unchecked = None, 0
    if verify:
        recorded = file.checksums()
        unchecked = recorded.count(None)
        bad = [
            number
            for number, (found, batch) in enumerate(zip(recorded, file.batches(), strict=True))
            if found is not None and found != checksum(batch)
        ]
        if bad:
            problem = f"damaged: record batch {bad[0]} is not what was written ({len(bad)} of {len(recorded)} batches)"
        problem = problem or _unsound(file)
        stamp = file.metadata.get(METADATA_CHECKSUM)
        if stamp is not None and stamp != metadata_checksum(file.metadata):
            problem = "damaged: its metadata is not what was written"
    return FileReport(
        path=file.path,
        images=len(file),
        regions=sum(int(view.bounds[-1] - view.bounds[0]) for view in file.views if len(view.ids)),
        feature_size=file.feature_size,
        fingerprint=file.fingerprint,
        problem=problem,
        unchecked=unchecked,
        verified=verify,
        metadata=_read(file.metadata),
    )


def _unsound(file: RegionFile) -> str | None:
    """A duplicate image or a value that is not finite, which no valid file contains even if its checksum is right."""
    seen: set[str] = set()
    for number, batch in enumerate(file.batches()):
        for name in batch.ids:
            if name in seen:
                return f"the image {name} is in it twice"
            seen.add(name)
        if (what := _not_finite(batch)) is not None:
            return f"record batch {number} holds {what} that are not finite numbers"
    return None


def _not_finite(batch: BatchView) -> str | None:
    for what, halves in (("features", batch.features), ("mean features", batch.means)):
        if halves is not None and not np.isfinite(as_float32(halves)).all():
            return what
    for what, values in (("boxes", batch.boxes), ("scores", batch.scores)):
        if values is not None and not np.isfinite(values).all():
            return what
    return None
