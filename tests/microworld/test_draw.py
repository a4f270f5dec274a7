"""Drawn scenes: every thing fills its box in its colour, all can be seen, and the same seed gives the same bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from twelve.microworld import draw as module
from twelve.microworld.draw import draw, write_images
from twelve.microworld.scene import ASPECT, COLOURS, GROUNDS, KINDS, PATTERNS, SIZES, Thing, WorldScene, sample_scene
from twelve.microworld.shapes import SHAPES
from twelve.microworld.world import WorldSizes, make_world

TINY = WorldSizes(**{name: (1, 1) for name in WorldSizes.__dataclass_fields__})


def thing(kind: str, colour: str = "red", pattern: str = "plain", size: str = "large") -> Thing:
    side = float(np.mean(SIZES[size]))
    width, height = np.round(side * np.array(ASPECT[kind])).tolist()
    return Thing(kind, colour, size, pattern, (60.0, 50.0, 60.0 + width, 50.0 + height))


def pixels(scene: WorldScene, seed: int = 0, style: str = "photo") -> NDArray[np.float64]:
    return np.asarray(draw(scene, seed=seed, style=style), dtype=np.float64)  # type: ignore[arg-type]


def inside(image: NDArray[np.float64], box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    x1, y1, x2, y2 = (int(edge) for edge in box)
    return image[y1:y2, x1:x2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [22, 27, 40, 50])
def test_a_thing_fills_its_box(kind: str, side: int) -> None:
    width, height = (round(side * part) for part in ASPECT[kind])
    shown = replace(thing(kind), box=(5.0, 5.0, 5.0 + width, 5.0 + height))
    for seed in range(2):  # facing either way
        alpha = module._tile(shown, width, height, np.random.default_rng(seed), "photo").getchannel("A")
        left, top, right, bottom = alpha.point([255 * (value > 100) for value in range(256)]).getbbox() or (9, 9, 0, 0)
        assert left <= 1 and top <= 1 and right >= width - 1 and bottom >= height - 1


def test_every_kind_has_a_silhouette_of_its_own() -> None:
    def silhouette(kind: str) -> NDArray[np.bool_]:
        tile = module._tile(thing(kind), 48, 48, np.random.default_rng(0), "photo")
        return np.asarray(tile.getchannel("A")) > 127

    kinds = list(KINDS)
    assert set(SHAPES) == set(kinds)
    for number, kind in enumerate(kinds):
        for other in kinds[:number]:
            one, two = silhouette(kind), silhouette(other)
            shared = max((one & two).sum() / (one | two).sum(), (one[:, ::-1] & two).sum() / (one[:, ::-1] | two).sum())
            assert shared < 0.88, (kind, other)


@pytest.mark.parametrize("style", ["photo", "painted"])
def test_colours_are_told_apart(style: str) -> None:
    """The middle of a plain ball is nearest to the colour that it is called by, whatever the light."""
    names, values = list(COLOURS), np.array(list(COLOURS.values()))
    for name in names:
        ball = thing("ball", name)
        for seed in range(3):
            shown = inside(pixels(WorldScene("stone", (ball,)), seed, style), ball.box)[16:-16, 16:-16].mean((0, 1))
            assert names[int(np.abs(values - shown).sum(1).argmin())] == name


@pytest.mark.parametrize("colour", COLOURS)
def test_patterns_are_to_be_seen(colour: str) -> None:
    for size in SIZES:
        spread = {}
        for pattern in PATTERNS:
            book = thing("book", colour, pattern, size)
            cover = inside(pixels(WorldScene("sand", (book,))), book.box)
            height, width = cover.shape[:2]
            cover = cover[round(0.2 * height) : round(0.65 * height), round(0.35 * width) : round(0.65 * width)]
            spread[pattern] = cover.std((0, 1)).max()
        assert min(spread["striped"], spread["dotted"]) > 3 * spread["plain"]


@pytest.mark.parametrize("style", ["photo", "painted"])
@pytest.mark.parametrize("ground", GROUNDS)
def test_whatever_stands_on_a_ground_is_visible(ground: str, style: str) -> None:
    for kind in KINDS:
        for colour in COLOURS:
            shown = thing(kind, colour, size="small")
            changed = np.abs(
                pixels(WorldScene(ground, (shown,)), 0, style) - pixels(WorldScene(ground, ()), 0, style)
            ).max(2)
            assert (inside(changed, shown.box) > 40).mean() > 0.12, (kind, colour)


def test_later_things_stand_in_front() -> None:
    ball, book = thing("ball", "red"), thing("ball", "blue")
    red, blue = (
        inside(pixels(WorldScene("sand", pair)), ball.box)[20:25, 20:25].mean((0, 1))
        for pair in ((book, ball), (ball, book))
    )
    assert red[0] > red[2] + 80 and blue[2] > blue[0] + 80


def test_same_scene_and_seed_same_image() -> None:
    scene = sample_scene(np.random.default_rng(3))
    for style in ("photo", "painted"):
        np.testing.assert_array_equal(pixels(scene, 1, style), pixels(scene, 1, style))
        assert (pixels(scene, 1, style) != pixels(scene, 2, style)).any()
    assert (pixels(scene, 1, "photo") != pixels(scene, 1, "painted")).mean() > 0.5


def test_writing_a_world(tmp_path: Path) -> None:
    world = make_world(7, TINY)
    for name in ("one", "two"):
        assert write_images(world, tmp_path / name) == len(list(world.images()))
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert files == sorted(Path("images") / image.file for image in world.images())
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
        with Image.open(tmp_path / "one" / file) as opened:
            assert opened.size == (160, 128)
            assert opened.format == ("PNG" if file.parts[1] == "nlvr2" else "JPEG")
    shared = next(image for image in world.vg if image.coco_id is not None)
    original = next(image for image in world.coco if image.key == str(shared.coco_id))
    images = tmp_path / "one" / "images"
    assert (images / shared.file).read_bytes() == (images / original.file).read_bytes()
    write_images(make_world(8, TINY), tmp_path / "two")
    assert (images / original.file).read_bytes() != (tmp_path / "two" / "images" / original.file).read_bytes()
