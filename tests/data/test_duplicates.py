"""Planted copies of drawn images are found, and nothing else is."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twelve.data.duplicates import duplicates
from twelve.data.fingerprints import fingerprints
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene


def copy_of(image: Image.Image, kind: str, path: Path) -> Path:
    width, height = image.size
    quality = 85
    if kind == "saved":
        quality = 30
    elif kind == "half":
        image = image.resize((width // 2, height // 2))
    elif kind == "cut":
        image = image.crop((width // 20, 0, width, round(0.95 * height)))
    elif kind == "cut more":
        image = image.crop((0, height // 10, round(0.9 * width), height))
    image.save(path, "JPEG", quality=quality)
    return path


KINDS = ("saved", "half", "cut", "cut more")


def planted(images: dict[str, Path], folder: Path) -> dict[str, Path]:
    files = dict(images)
    for number, (name, path) in enumerate(images.items()):
        kind = KINDS[number % len(KINDS)]
        files[f"copy/{name}"] = copy_of(Image.open(path).convert("RGB"), kind, folder / f"{number}.jpg")
    return files


def compare(files: dict[str, Path]) -> tuple[set[str], set[tuple[str, str]]]:
    """(copies that were found, other pairs that were)."""
    found, wrong = set(), set()
    for pair in duplicates(fingerprints(files, progress=False), progress=False):
        first, second = (name.removeprefix("copy/") for name in (pair.image, pair.of))
        if first == second:
            found.add(first)
        else:
            wrong.add((pair.image, pair.of))
    return found, wrong


def test_planted_copies_of_drawn_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    originals = {}
    for number in range(12):
        draw(sample_scene(rng), seed=number).save(tmp_path / f"{number}.png")
        originals[f"x/{number}"] = tmp_path / f"{number}.png"
    (tmp_path / "copies").mkdir()
    found, wrong = compare(planted(originals, tmp_path / "copies"))
    assert not wrong
    assert len(found) == 12


def test_another_thing_on_the_same_ground_is_another_image(tmp_path: Path) -> None:
    ground = np.full((200, 200, 3), 210, np.uint8)
    ground[:, :50] = 60
    ground[120:, :] //= 2
    ground[:60, 140:] += 30
    files = {}
    for number, corner in enumerate([(72, 36), (78, 100)]):
        image = ground.copy()
        image[corner[0] : corner[0] + 14, 50 + corner[1] : 64 + corner[1]] = (255, 255, 0)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        files[f"x/{number}"] = tmp_path / f"{number}.png"
    assert duplicates(fingerprints(files, progress=False), progress=False) == []


def test_the_same_bytes_and_files_that_are_no_images(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "grey").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "c.png").write_text("no image")
    prints = fingerprints({name: tmp_path / f"{name}.png" for name in "abc"}, progress=False)
    assert list(prints.unreadable) == ["c"]
    (pair,) = duplicates(prints, progress=False)
    assert (pair.image, pair.of, pair.correlation) == ("b", "a", 1.0)
    assert duplicates(fingerprints({}, progress=False), progress=False) == []


@pytest.mark.realdata
def test_planted_copies_of_photographs(realdata: Path, tmp_path: Path) -> None:
    paths = sorted((realdata / "images" / "flickr30k").rglob("*.jpg"))
    chosen = random.Random(0).sample(paths, 12)
    found, wrong = compare(planted({f"x/{path.stem}": path for path in chosen}, tmp_path))
    assert not wrong
    assert len(found) == 12
