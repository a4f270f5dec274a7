"""Whether what an evaluation has read is still there, and as it was: the files of its splits, and the regions."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.errors import RegionError, TwelveError
from twelve.evaluation.results import TaskResult
from twelve.settings import RunConfig

if TYPE_CHECKING:
    from twelve.regions.store.region_store import RegionStore


def other_files(root: Path, results: Sequence[TaskResult]) -> tuple[list[str], list[str]]:
    """The evaluated files that are not as they were, and those that are gone from a data root that is there."""
    from twelve.data.examples.store import checksum  # imports pyarrow, which an early error does not need

    found, changed = {name: digest for result in results for name, digest in result.files.items()}, list[str]()
    for name, digest in found.items():
        with contextlib.suppress(OSError, ValueError):  # it is not there, or cannot be read
            changed += [name] if checksum(root / name) != digest else []
    return changed, [name for name in found if root.is_dir() and not (root / name).exists()]


def other_regions(
    config: RunConfig, model: Path, samples: Mapping[str, str], sources: Collection[str]
) -> dict[str, str]:
    """The image sources whose regions are not those of the training -> the command that makes such regions again; ""
    if they are of the same extractor, so that they can be evaluated.

    Args:
        samples: image id -> digest of its regions in the training.
        sources: those that are compared. Of regions that cannot be read, nothing is known.
    """
    from twelve.regions.store.region_store import RegionStore  # imports pyarrow, which an early error does not need
    from twelve.regions.store.samples import changed

    store, found = RegionStore(config.regions_folder, data=config.data), dict[str, str]()
    for source in sources:
        with contextlib.suppress(TwelveError, OSError):
            if changed(store, source, samples) is not None:
                found[source] = _made_again(store, model, source)
    return found


def _made_again(store: RegionStore, model: Path, source: str) -> str:
    from twelve.model.processor import TwelveProcessor  # imports torch, which few reports need

    try:
        TwelveProcessor.from_pretrained(model).check_regions(store, [source])
    except TwelveError as error:  # another one is about the model, which says nothing of the regions
        return error.remedy or "" if isinstance(error, RegionError) else ""
    return ""
