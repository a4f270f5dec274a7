"""Digests of the regions of some images, by which a run notices later that its regions have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from twelve.errors import RegionError
from twelve.regions.store.region_store import RegionStore

SAMPLED = 64
"""Images of each source that are compared."""


def sampled(store: RegionStore, source: str) -> dict[str, str]:
    """Image id -> digest of its features and boxes, for images spread over a source of a store."""
    images = sorted(store.ids(source))
    return {image: digest(store, image) for image in images[:: -(-len(images) // SAMPLED)]} if images else {}


def digest(store: RegionStore, image: str) -> str:
    """16 hexadecimal digits that stand for the detected regions of an image."""
    found, content = store.get(image), hashlib.sha256()
    for array in (found.boxes, found.features):
        content.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return content.hexdigest()[:16]


def changed(store: RegionStore, source: str, then: Mapping[str, str]) -> RegionError | None:
    """An error about the regions of a source that are not those of ``then``, what :func:`sampled` gave; None if they
    are. Images that the store no longer has are not compared."""
    there = [image for image in then if image.partition("/")[0] == source and image in store]
    others = [image for image in there if digest(store, image) != then[image]]
    if not others:
        return None
    return RegionError(
        f"not the regions that the run was trained with, though of the same extractor: {len(others)} of {len(there)} "
        f"images that were compared have other features or boxes, the first is {others[0]}",
        file=store.root / source,
        remedy="put back the files that it was trained with, or evaluate with these: "
        "twelve evaluate RUN --allow-changed-data",
    )
