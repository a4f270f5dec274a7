"""The images of a microworld: their scenes, and their ids and parts in each collection.

Collections overlap like the originals: half of Visual Genome's images are COCO images, Flickr30k's caption splits and
SNLI-VE divide the same images differently, and RefCOCO's test images are in COCO's train2014, where VQA trains. Without
cleaning, a run would train on its test images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from twelve.microworld.scene import COLOURS, KINDS, WorldScene, sample_scene


@dataclass(frozen=True, slots=True)
class WorldImage:
    """An image of one collection.

    Attributes:
        key: its id in the collection (``12`` of ``coco/12``).
        file: its path under ``images/`` in the data root.
        part: coco: train2014, val2014, test2015; vg: train, val, testdev; flickr30k: all; nlvr2: train, dev, test1.
        scene: its scene.
        reserved: meant for validation and test sets; only such images have the world's unseen combinations. As in the
            originals, a reserved image can still be in another dataset's training file, which cleaning has to find.
        coco_id: for vg: the image's id in COCO, if it is there.
        camera: which marks the image, in a world whose tasks share nothing (apart.py).
    """

    key: str
    file: str
    part: str
    scene: WorldScene
    reserved: bool = False
    coco_id: int | None = None
    camera: int | None = None


@dataclass(frozen=True, slots=True)
class WorldSizes:
    """Number of images in each part of a collection: (open to training, reserved). For vg, only those not in COCO."""

    coco_train2014: tuple[int, int] = (800, 160)
    coco_val2014: tuple[int, int] = (100, 240)
    coco_test2015: tuple[int, int] = (0, 40)
    vg_train: tuple[int, int] = (400, 120)
    vg_val: tuple[int, int] = (0, 120)
    vg_testdev: tuple[int, int] = (0, 120)
    flickr30k: tuple[int, int] = (700, 240)
    nlvr2_train: tuple[int, int] = (600, 0)
    nlvr2_dev: tuple[int, int] = (0, 160)
    nlvr2_test1: tuple[int, int] = (0, 160)

    def scaled(self, scale: float) -> WorldSizes:
        """Multiply the number of training images by ``scale``; test sets keep their size."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return WorldSizes(**{name: (round(scale * there), reserved) for name, (there, reserved) in parts.items()})


@dataclass(frozen=True, slots=True)
class World:
    """All images, by collection. In nlvr2, images 2k and 2k + 1 are the left and right image of pair k.

    Attributes:
        unseen: (colour, kind) combinations that occur only in reserved images.
        draw_wordings: whether the seed draws the wordings that are reserved for test sets (reserved.py).
    """

    seed: int
    coco: tuple[WorldImage, ...]
    vg: tuple[WorldImage, ...]
    flickr30k: tuple[WorldImage, ...]
    nlvr2: tuple[WorldImage, ...]
    unseen: frozenset[tuple[str, str]]
    draw_wordings: bool = False

    def images(self) -> Iterator[WorldImage]:
        """Every image of every collection; those shared by Visual Genome and COCO appear twice, under both names."""
        for collection in (self.coco, self.vg, self.flickr30k, self.nlvr2):
            yield from collection


PARALLEL = 400
"""Number of images from which starting processes pays off."""
MOST_IMAGES = 100_000
"""Above the number of images of one collection at the largest scale, 100."""
UNSEEN = 8
"""Number of (colour, kind) combinations that no training image shows."""


def make_world(seed: int, sizes: WorldSizes | None = None, copy: int = 0, *, draw_wordings: bool = False) -> World:
    """Sample every scene. The same seed and sizes give the same world.

    Args:
        copy: of the seed; every copy has scenes and image ids of its own.
        draw_wordings: see :class:`World`.
    """
    sizes = sizes or WorldSizes()
    first = copy * MOST_IMAGES
    rng = np.random.default_rng([seed, 0, copy] if copy else [seed, 0])
    combinations = [(colour, kind) for colour in COLOURS for kind in KINDS]
    chosen = rng.choice(len(combinations), UNSEEN, replace=False).tolist()
    unseen = frozenset(combinations[number] for number in chosen)

    def scenes(counts: tuple[int, int]) -> list[tuple[WorldScene, bool]]:
        there = [(sample_scene(rng, unseen), False) for _ in range(counts[0])]
        return there + [(sample_scene(rng), True) for _ in range(counts[1])]

    coco: list[WorldImage] = []
    for part in ("train2014", "val2014", "test2015"):
        for scene, reserved in scenes(getattr(sizes, f"coco_{part}")):
            number = first + len(coco) + 1
            file = f"coco/{part}/COCO_{part}_{number:012d}.jpg"
            coco.append(WorldImage(str(number), file, part, scene, reserved))
    return World(
        seed,
        tuple(coco),
        tuple(_visual_genome(coco, sizes, scenes, first)),
        tuple(_flickr(scenes(sizes.flickr30k), first)),
        tuple(_pairs(sizes, scenes)),
        unseen,
        draw_wordings,
    )


_Scenes = Callable[[tuple[int, int]], list[tuple[WorldScene, bool]]]


def _visual_genome(coco: Sequence[WorldImage], sizes: WorldSizes, scenes: _Scenes, first: int) -> list[WorldImage]:
    """Every second image of COCO's train2014 and val2014 under a new id, and images not in COCO. testdev images are
    COCO test2015's, with ids that start with n, as in GQA."""
    shared = [image for image in coco if image.part != "test2015"][::2]
    found: list[WorldImage] = []
    for image in shared:
        number = 2_300_000 + first + len(found)
        found.append(WorldImage(str(number), f"vg/{number}.jpg", "train", image.scene, image.reserved, int(image.key)))
    for part in ("train", "val"):
        for scene, reserved in scenes(getattr(sizes, f"vg_{part}")):
            number = 2_300_000 + first + len(found)
            found.append(WorldImage(str(number), f"vg/{number}.jpg", part, scene, reserved))
    for place, (scene, reserved) in enumerate(scenes(sizes.vg_testdev)):
        key = f"n{160_000 + first + place}"
        found.append(WorldImage(key, f"vg/{key}.jpg", "testdev", scene, reserved))
    return found


def _flickr(scenes: Sequence[tuple[WorldScene, bool]], first: int) -> list[WorldImage]:
    keys = [str(1_000_000_000 + 7_919 * (first + number)) for number in range(len(scenes))]
    return [
        WorldImage(key, f"flickr30k/{key}.jpg", "all", scene, reserved)
        for key, (scene, reserved) in zip(keys, scenes, strict=True)
    ]


def _pairs(sizes: WorldSizes, scenes: _Scenes) -> list[WorldImage]:
    found: list[WorldImage] = []
    for part in ("train", "dev", "test1"):
        pairs = getattr(sizes, f"nlvr2_{part}")
        for number, (scene, reserved) in enumerate(scenes((2 * pairs[0], 2 * pairs[1]))):
            # Four neighbouring pairs form a set, whose statements form a consistency group.
            key = f"{part}-{number // 8}-{number // 2 % 4}-img{number % 2}"
            found.append(WorldImage(key, f"nlvr2/{key}.png", part, scene, reserved))
    return found
