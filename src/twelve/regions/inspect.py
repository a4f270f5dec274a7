"""What a region store holds, and whether it is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from twelve.errors import RegionError
from twelve.regions.arrow import checksum
from twelve.regions.parts import METADATA_CHECKSUM, metadata_checksum
from twelve.regions.store import RegionFile

_DEPTHS = ("*.arrow", "*/*.arrow", "*/given/*.arrow")
"""Of a source, of a store, and of the boxes given in it (a source's own are at the second depth)."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """One region file.

    Attributes:
        problem: what is wrong with it, or None.
        unchecked: record batches without a recorded checksum.
    """

    path: Path
    images: int = 0
    regions: int = 0
    feature_size: int | None = None
    fingerprint: str = ""
    problem: str | None = None
    unchecked: int = 0

    def __str__(self) -> str:
        if self.problem:
            return f"{self.path}: {self.problem}"
        size = "boxes only" if self.feature_size is None else f"{self.feature_size} features"
        text = f"{self.path}: {self.images:,} images, {self.regions:,} regions, {size}"
        if self.fingerprint and self.feature_size is not None:
            text += f", extractor {self.fingerprint}"
        return text + (f", {self.unchecked} batches without a checksum" if self.unchecked else "")


def inspect(path: Path, *, verify: bool = False) -> Iterator[FileReport]:
    """Report every region file at ``path``: a file, a source's folder or a store.

    Args:
        verify: read everything and compare with the recorded checksums.

    Raises:
        RegionError: there is no region file here.
    """
    files = [path] if path.is_file() else [file for depth in _DEPTHS for file in sorted(path.glob(depth))]
    if not files:
        raise RegionError("no region files here", file=path, remedy="make some: twelve regions extract --help")
    for file in files:
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
            for number, (found, batch) in enumerate(zip(recorded, file.views, strict=True))
            if found is not None and found != checksum(batch)
        ]
        if bad:
            problem = f"damaged: record batch {bad[0]} is not what was written ({len(bad)} of {len(recorded)} batches)"
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
    )
