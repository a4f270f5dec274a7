"""Preparing images for the region detector, and how it treats what the original program does not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from x152_tiny import noise

from twelve.errors import RegionError
from twelve.regions.detectors.x152.preprocessing import MEAN, batch, prepare, resize, scale_of
from twelve.regions.images import decode

Pixels = np.ndarray


def by_hand(values: Pixels, scale: float) -> Pixels:
    """(H, W) resized pixel by pixel, in double precision."""
    height, width = (int(np.rint(side * scale)) for side in values.shape)
    out = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            sy, sx = (y + 0.5) / scale - 0.5, (x + 0.5) / scale - 0.5
            y0, x0 = math.floor(sy), math.floor(sx)
            fy, fx = sy - y0, sx - x0
            ya, yb = (min(max(at, 0), values.shape[0] - 1) for at in (y0, y0 + 1))
            xa, xb = (min(max(at, 0), values.shape[1] - 1) for at in (x0, x0 + 1))
            above = values[ya, xa] * (1 - fx) + values[ya, xb] * fx
            below = values[yb, xa] * (1 - fx) + values[yb, xb] * fx
            out[y, x] = above * (1 - fy) + below * fy
    return out


@given(st.integers(1, 23), st.integers(1, 23), st.floats(0.3, 3.0), st.integers(0, 99))
def test_resizing_is_bilinear_with_a_step_of_one_over_scale(width: int, height: int, scale: float, seed: int) -> None:
    values = np.random.default_rng(seed).uniform(-128, 128, (height, width)).astype(np.float32)
    if round(width * scale) == 0 or round(height * scale) == 0:
        return
    ours = resize(torch.from_numpy(values).repeat(3, 1, 1), scale)
    expected = by_hand(values.astype(np.float64), scale)
    assert ours.shape == (3, *expected.shape)
    assert float(np.abs(ours[1].numpy() - expected).max()) < 1e-4


@pytest.mark.parametrize(
    ("size", "resized"),
    [((640, 480), (1067, 800)), ((480, 640), (800, 1067)), ((2000, 800), (1333, 533)), ((100, 3), (1333, 40))],
)
def test_sizes(size: tuple[int, int], resized: tuple[int, int]) -> None:
    prepared = prepare(noise(*size))
    assert prepared.extent == resized
    assert (prepared.width, prepared.height) == size
    assert prepared.scale == scale_of(*size)


def test_half_a_pixel_rounds_to_even() -> None:
    assert resize(torch.zeros(3, 5, 7), 0.5).shape == (3, 2, 4)  # 2.5 and 3.5


def test_colours_are_blue_first_without_their_mean() -> None:
    image = Image.new("RGB", (40, 30), (200, 100, 50))
    pixels = prepare(image, short_side=30).pixels
    assert pixels[:, 3, 3].tolist() == pytest.approx([50 - MEAN[0], 100 - MEAN[1], 200 - MEAN[2]], abs=1e-4)
    grey = prepare(Image.new("L", (40, 30), 120), short_side=30).pixels
    assert torch.equal(grey, prepare(Image.new("RGB", (40, 30), (120, 120, 120)), short_side=30).pixels)


def test_images_of_a_batch_are_padded_with_zeros_to_a_multiple_of_32() -> None:
    wide, high = (prepare(noise(*size), short_side=40) for size in ((60, 40), (40, 70)))
    pixels = batch([wide, high])
    assert pixels.shape == (2, 3, 96, 64)
    assert torch.equal(pixels[0, :, :40, :60], wide.pixels)
    assert not pixels[0, :, 40:].any() and not pixels[1, :, :, 40:].any()


def drawn() -> Image.Image:
    """Noise with one white pixel: deep images are brightened until their lightest is white."""
    image = noise(48, 32)
    image.putpixel((5, 5), (255, 255, 255))
    return image


def kinds(folder: Path) -> dict[str, Path]:
    """An image of every kind that the original program stumbles over, each showing the same."""
    plain = drawn()
    grey = np.asarray(plain.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right to see it upright
    images = {
        "rgba.png": plain.convert("RGBA"),
        "la.png": plain.convert("LA"),
        "cmyk.tif": plain.convert("CMYK"),
        "palette.png": plain.quantize(64),
        "bit.png": plain.convert("1"),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
    }
    for name, image in images.items():
        image.save(folder / name)
    plain.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=exif)
    return {name.partition(".")[0]: folder / name for name in [*images, "turned.png"]}


def test_every_kind_of_image_is_seen_as_people_see_it(tmp_path: Path) -> None:
    expected = prepare(drawn(), short_side=32).pixels
    grey = prepare(drawn().convert("L"), short_side=32).pixels
    close = {"rgba": (expected, 0.0), "turned": (expected, 0.0), "la": (grey, 0.0), "deep": (grey, 1.0)}
    few = prepare(drawn().quantize(64).convert("RGB"), short_side=32).pixels
    close |= {"cmyk": (expected, 3.0), "palette": (few, 0.0)}
    for name, path in kinds(tmp_path).items():
        prepared = prepare(decode(path), short_side=32)
        assert (prepared.width, prepared.height) == (48, 32), name
        if name in close:
            image, within = close[name]
            assert float((prepared.pixels - image).abs().max()) <= within, name


def test_legacy_takes_images_as_they_stand(tmp_path: Path) -> None:
    files = kinds(tmp_path)
    for name in ("rgba", "la", "cmyk"):
        with Image.open(files[name]) as image, pytest.raises(RegionError, match="original program takes no"):
            prepare(image, short_side=32, legacy=True)
    for name, levels in (("palette", 64), ("bit", 2), ("deep", 65536)):
        with Image.open(files[name]) as image:
            found = prepare(image, short_side=32, legacy=True).pixels[0]
        assert float(found.max()) < levels - MEAN[0], name  # indices of colours, bits, 16-bit levels
        assert name != "deep" or float(found.max()) > 1000
    with Image.open(files["turned"]) as image:
        assert prepare(image, short_side=32, legacy=True).extent == (32, 48)


def test_an_image_that_is_not_rgb_is_refused_unless_legacy() -> None:
    with pytest.raises(RegionError, match=r"is P, not RGB.*decode"):
        prepare(noise(48, 32).quantize(8))
