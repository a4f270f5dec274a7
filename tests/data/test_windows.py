"""Windows of images: where they fit best, and how many images one image is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twelve.data import duplicates as module
from twelve.data.crop_matching import STARTS, UNIT, averaged, averages, correlations, fitted
from twelve.data.duplicates import CLOSE, duplicates
from twelve.data.fingerprints import fingerprints


def thumbnail(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8))
    return np.asarray(small.resize((32, 32), Image.Resampling.BICUBIC), dtype=np.uint8)


def cut(image: np.ndarray, window: tuple[float, float, float, float]) -> np.ndarray:
    x1, x2, y1, y2 = window
    down, across = averages((y1, y2), 32, 32), averages((x1, x2), 32, 32)
    return np.rint(down @ image @ across.T).astype(np.uint8)


def test_running_sums_average_as_the_weights_do() -> None:
    pixels = np.random.default_rng(0).random((128, 5, 3), dtype=np.float32)
    edges = [(0.0, 1.0), (0.013, 0.87), (0.2, 1.0)]
    for edge, found in zip(edges, averaged(pixels, edges, 32), strict=True):
        np.testing.assert_allclose(found, np.einsum("oy,yxc->oxc", averages(edge, 128, 32), pixels), atol=1e-4)


def test_a_window_is_found_from_a_start_beside_it() -> None:
    images = [thumbnail(seed) for seed in range(6)]
    true = [(16, 384, 20, 360), (0, 332, 44, 400), (40, 400, 0, 340)] * 2
    parts = [cut(image, tuple(end / UNIT for end in ends)) for image, ends in zip(images, true, strict=True)]
    stack = np.stack([*images, *parts])
    rows, others = np.arange(6, 12), np.arange(6)
    starts = np.array([STARTS[np.abs(STARTS - ends).sum(axis=1).argmin()] for ends in true])
    before = correlations(stack, rows, others, starts)
    score, windows = fitted(stack, rows, others, starts)
    assert (score > before).all() and (score > 0.99).all()
    assert np.abs(windows - np.array(true)).max() <= 4
    assert (windows[:, 1::2] - windows[:, ::2] >= 300).all() and windows.min() >= 0 and windows.max() <= UNIT


def test_fingerprints_do_not_depend_on_what_is_read_together(tmp_path: Path) -> None:
    files = {}
    for number in range(140):  # more than two blocks
        files[f"x/{number}"] = tmp_path / f"{number}.png"
        Image.fromarray(thumbnail(number)).resize((96, 64)).save(files[f"x/{number}"])
    files["x/70"].write_text("no image")
    together = fingerprints(files, workers=2, progress=False)
    assert list(together.unreadable) == ["x/70"]
    assert together.ids == tuple(name for name in files if name != "x/70")
    for row in (0, 69, 70, 138):
        name = together.ids[row]
        alone = fingerprints({name: files[name]}, progress=False)
        assert together.files[row] == files[name]
        assert (together.hashes[row] == alone.hashes[0]).all()
        assert (together.thumbnails[row] == alone.thumbnails[0]).all()


def test_work_grows_with_the_images_and_not_with_their_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that are all alike are looked at closely with a few others each; among these is the copy."""
    files = {}
    for number in range(80):
        pixels = thumbnail(0).astype(np.int64)
        row, column = divmod(number, 9)
        pixels[3 * row : 3 * row + 3, 3 * column : 3 * column + 3] += 40
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).resize((96, 96), Image.Resampling.NEAREST)
        files[f"x/{number}"] = tmp_path / f"{number}.png"
        image.save(files[f"x/{number}"])
    with Image.open(files["x/33"]) as image:
        image.convert("RGB").save(tmp_path / "copy.jpg", quality=80)
    files["x/copy"] = tmp_path / "copy.jpg"
    compared: list[int] = []
    same = module._same
    monkeypatch.setattr(
        module, "_same", lambda prints, pairs, pool: compared.append(len(pairs)) or same(prints, pairs, pool)
    )
    found = {
        frozenset((pair.image, pair.of)) for pair in duplicates(fingerprints(files, progress=False), progress=False)
    }
    assert frozenset(("x/33", "x/copy")) in found
    assert 2 * len(files) < sum(compared) <= CLOSE * len(files)
