"""Writes a region store of the complete datasets' images, with narrow features; see official_world.py.

Every image has 36 regions; those of boxes that datasets give are in files of their own, as ``twelve regions extract
--boxes given:TASK`` writes them. Features are noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from official_boxes import boxes_of
from official_world import SIZES, Thing, World

from twelve.regions.store.arrow_format import MAX_IMAGES, schema
from twelve.regions.store.resumable_writer import PartWriter
from twelve.types.regions import Regions

REGIONS, WIDTH = 36, 16


def write_regions(world: World, root: Path, width: int = WIDTH) -> None:
    """Write the regions of all images into the store ``root``."""
    coco = [image for part in world.coco.values() for image in part.tolist()]
    _write(world, root / "coco" / "coco.arrow", _drawn(world, "coco", map(str, coco), width, 40), width)
    gqa = (image for split, those in world.gqa().items() if split not in ("train", "val") for image in those)
    genome = chain(map(str, world.genome[0].tolist()), gqa)
    _write(world, root / "vg" / "vg.arrow", _drawn(world, "vg", genome, width, 41), width)
    flickr = map(str, world.flickr.tolist())
    _write(world, root / "flickr30k" / "flickr30k.arrow", _drawn(world, "flickr30k", flickr, width, 42), width)
    splits = world.sizes("nlvr2")
    pairs = (f"{pair}-img{side}" for split in splits for pair in world.pairs(split) for side in (0, 1))
    _write(world, root / "nlvr2" / "nlvr2.arrow", _drawn(world, "nlvr2", pairs, width, 43), width)
    games = (image for part in world.of_coco("guesswhat", 3).values() for image in part.tolist())
    things = ((f"coco/{image}", world.size(image), world.things(image)) for image in games)
    _write(world, root / "coco" / "given" / "guesswhat.arrow", _given(world, things, width, 44), width)
    shown = (image for part in world.of_genome("visual7w", 1).values() for image in part.tolist())
    things = ((f"vg/{image}", world.size(image), boxes_of(world, image)) for image in shown)
    _write(world, root / "vg" / "given" / "visual7w.arrow", _given(world, things, width, 45), width)


def _write(world: World, path: Path, images: Iterator[Regions], width: int) -> None:
    table = schema(feature_size=width, scores=False, class_ids=False, metadata={"fingerprint": f"drawn, {width} wide"})
    with PartWriter(path, table) as writer:
        while part := list(islice(images, MAX_IMAGES)):
            writer.write(part)
        writer.finish({})


def _drawn(world: World, source: str, names: Iterable[str], width: int, key: int) -> Iterator[Regions]:
    rng = world.rng(key)
    for name in names:
        wide, high = world.size(int(name)) if name.isdigit() else SIZES[0]
        corners = np.sort(rng.random((REGIONS, 2, 2), dtype=np.float32), axis=1).reshape(REGIONS, 4)
        yield Regions(
            f"{source}/{name}", wide, high, corners * (wide, high, wide, high), _features(rng, REGIONS, width)
        )


def _given(
    world: World, images: Iterable[tuple[str, tuple[int, int], list[Thing]]], width: int, key: int
) -> Iterator[Regions]:
    rng = world.rng(key)
    for name, (wide, high), things in images:
        boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in (thing.box for thing in things)], np.float32)
        yield Regions(name, wide, high, boxes, _features(rng, len(things), width))


def _features(rng: np.random.Generator, count: int, width: int) -> NDArray[np.float16]:
    return rng.random((count, width), dtype=np.float32).astype(np.float16)
