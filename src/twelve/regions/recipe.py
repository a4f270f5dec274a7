"""What must be known to look at a new photograph exactly as an extraction did; kept in every region file as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from twelve.errors import RegionError
from twelve.regions.sizes import FixedSize, InputSize, Size

KEY = "recipe"
"""Of a region file's metadata."""


def recipe_of(metadata: Mapping[str, str], source: str) -> dict[str, str]:
    """{source: recipe as it is recorded}; empty for regions that were imported from elsewhere."""
    return {source: metadata[KEY]} if KEY in metadata else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An extractor in words.

    Attributes:
        backbone: as ``--backbone`` named it.
        weights: as ``--weights`` named them; of a file or folder its name without the path.
        weights_file: whether they were a file or folder, which must be at hand again.
        levels, size: as they were asked for; None where nothing was.
        legacy, precision: of x152.
        patches: the cells of the network's map are the regions.
        boxes: where boxes came from, as ``--boxes`` says it; empty where they came from files.
        most, threshold: of boxes that the network found.
        fingerprint: of the features.
    """

    backbone: str
    weights: str | None
    weights_file: bool
    levels: tuple[str, ...] | None
    size: Size | None
    legacy: bool
    precision: str
    patches: bool
    boxes: str
    most: int | None
    threshold: float | None
    fingerprint: str

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read what :meth:`to_json` wrote; of several, as merged files have them, the first.

        Raises:
            RegionError: it is not that.
        """
        try:
            tree: Any
            tree, _ = json.JSONDecoder().raw_decode(text)
            levels, size = tree["levels"], tree["size"]
            if size is not None:
                size = (FixedSize if "wide" in size else InputSize)(**size)
            found = cls(**{**tree, "levels": None if levels is None else tuple(levels), "size": size})
        except (ValueError, TypeError, KeyError) as error:
            raise RegionError(
                f"the recipe of the regions cannot be read ({error!r})", remedy="extract the regions again"
            ) from error
        return found

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Recipe:
        """The recipe in a region file's metadata (:meth:`twelve.regions.store.RegionStore.metadata`).

        Raises:
            RegionError: there is none: the regions were imported from elsewhere.
        """
        if KEY not in metadata:
            raise RegionError(
                "these regions do not say how they were made", remedy="name the --backbone and --weights that made them"
            )
        return cls.from_json(metadata[KEY])
