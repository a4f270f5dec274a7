"""Where boxes come from, how images are found, named and decoded."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from making import draw_image, regions, write
from PIL import Image

from twelve.errors import ConfigError, InputError, RegionError
from twelve.formats.data_root import image_key
from twelve.regions.extraction import box_sources
from twelve.regions.extraction.box_sources import BoxFiles, BoxSource, Grid, cell_boxes, parse_boxes
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.images import decode, image_id, list_images, resized, source_of


def box_source(*words: str | Path, max_boxes: int | None = None) -> BoxSource:
    boxes, files = parse_boxes(words)
    return box_sources.box_source(ExtractorConfig(boxes=boxes, box_files=files, max_boxes=max_boxes), (1, 0.0))


def windows(text: str, width: int, height: int) -> np.ndarray:
    return box_source(text).boxes("a/1", width, height).boxes


@pytest.mark.parametrize(
    ("text", "size", "rows", "columns"),
    [
        ("grid:25", (125, 100), 4, 5),
        ("grid:25", (275, 100), 4, 11),
        ("grid:4x5", (333, 77), 4, 5),
        ("grid", (10, 10), 6, 6),
        ("grid:25", (30, 8), 1, 1),
        ("grid:20/10", (100, 60), 5, 9),
    ],
)
def test_windows_cover_the_image_row_by_row(text: str, size: tuple[int, int], rows: int, columns: int) -> None:
    boxes = windows(text, *size)
    assert boxes.shape == (rows * columns, 4) and boxes.dtype == np.float32
    grid = boxes.reshape(rows, columns, 4)
    assert np.ptp(grid[..., 1], axis=1).max() == 0 and np.ptp(grid[..., 0], axis=0).max() == 0
    covered = np.zeros((size[1] * 4, size[0] * 4), bool)  # a quarter of a pixel
    for x1, y1, x2, y2 in (boxes * 4).round().astype(int):
        covered[y1:y2, x1:x2] = True
    assert covered.all()
    assert boxes.min() >= 0 and (boxes[:, 2] <= size[0]).all() and (boxes[:, 3] <= size[1]).all()


def test_windows_side_by_side_do_not_overlap() -> None:
    boxes = windows("grid:25", 130, 90)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert areas.sum() == pytest.approx(130 * 90, rel=1e-4) and np.ptp(areas) < 0.1


def test_overlapping_windows_keep_their_size() -> None:
    boxes = windows("grid:20/10", 103, 64)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], 20, atol=1e-4)


def test_cells_are_the_grid_of_the_map() -> None:
    np.testing.assert_allclose(cell_boxes(2, 3, 30, 10)[4], [10, 5, 20, 10])
    assert Grid(rows=2, columns=3).origin == "grid:2x3" and Grid(size=25).origin == "grid:25/25"


@pytest.mark.parametrize(("text", "known"), [("gird:64", "grid"), ("pacthes", "patches"), ("detct", "detect")])
def test_a_misspelt_word_is_no_missing_file(text: str, known: str) -> None:
    with pytest.raises(ConfigError, match=rf'--boxes {text} is neither a file .*did you mean "{known}"'):
        box_source(text)


@pytest.mark.parametrize("text", ["grid:0", "grid:4x", "grid:x5", "grid:25/0", "grid:-3", "grid:axb"])
def test_grids_that_make_no_sense(text: str) -> None:
    with pytest.raises(ConfigError, match="write grid:SIZE"):
        box_source(text)


def test_box_files(tmp_path: Path) -> None:
    made = [regions(f"a/{k}", 5) for k in range(6)]
    one = write(tmp_path / "one.arrow", [replace(i, features=None) for i in made[:3]], detector="D")
    two = write(tmp_path / "two.arrow", made[3:], detector="D")
    source = box_source(one, two, max_boxes=2)
    assert source.has_scores and source.has_classes and source.origin.startswith("D, best 2 #")
    for image in made:
        assert image.scores is not None and image.class_ids is not None
        best = np.sort(np.argsort(-image.scores)[:2])
        found = source.boxes(image.image_id, image.width, image.height)
        assert found.features is None and found.scores is not None and found.class_ids is not None
        np.testing.assert_array_equal(found.boxes, image.boxes[best])
        np.testing.assert_array_equal(found.scores, image.scores[best])
        np.testing.assert_array_equal(found.class_ids, image.class_ids[best])
    with pytest.raises(ValueError, match="no boxes for this image"):
        source.boxes("a/7", 10, 10)
    with pytest.raises(ValueError, match="its boxes are for an image"):
        source.boxes("a/1", 1, 1)
    with pytest.raises(RegionError, match="another box file also contains this image"):
        BoxFiles([one, one])
    assert BoxFiles([one]).origin != BoxFiles([two]).origin


def test_boxes_that_were_read_outlast_their_file(tmp_path: Path) -> None:
    made = regions("a/1", 3)
    file = write(tmp_path / "x.arrow", [made])
    source = box_source(file)
    file.write_bytes(bytes(file.stat().st_size))
    found = source.boxes("a/1", made.width, made.height)
    for name in ("boxes", "scores", "class_ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))


def test_boxes_are_clipped_to_the_image(tmp_path: Path) -> None:
    wide = replace(regions("a/1", 1), boxes=np.array([[-5, -5, 1e4, 50]], np.float32))
    source = box_source(write(tmp_path / "x.arrow", [wide]))
    assert source.boxes("a/1", wide.width, wide.height).boxes.tolist() == [[0, 0, wide.width, 50]]


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((0, 0, np.nan, 50), "is not finite"),
        ((0, 0, np.inf, 50), "is not finite"),
        ((300, 10, 320, 20), "is wholly outside its image of 80x60 pixels"),
        ((5, -9, 20, -1), "is wholly outside"),
        ((30, 10, 20, 20), "ends before it begins"),
        ((10, 20, 20, 20), "has no area"),
    ],
)
def test_boxes_that_show_nothing(tmp_path: Path, box: tuple[float, ...], why: str) -> None:
    good = replace(regions("a/1", 2), width=80, height=60, boxes=np.array([[0, 0, 9, 9], [-9, 50, 3, 99]], np.float32))
    bad = replace(good, image_id="a/2", boxes=np.array([[0, 0, 9, 9], box], np.float32))
    box_source(write(tmp_path / "good.arrow", [good]))
    with pytest.raises(RegionError, match=rf"x\.arrow \[a/2\]: box 2 \(.*\) {why}"):
        box_source(write(tmp_path / "x.arrow", [good, bad]))


def test_box_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="this is a folder -> give the region files in it to --boxes"):
        box_source(tmp_path)
    with pytest.raises(RegionError, match="no such file"):
        box_source(tmp_path / "x.arrow")


def test_ids_and_sources() -> None:
    assert image_id(Path("COCO_train2014_000000000003.jpg"), "coco") == "coco/3"
    assert image_id(Path("1000268201.jpg"), "f") == "f/1000268201"
    assert image_id(Path("dev-1021-0-img0.png"), "n") == "n/dev-1021-0-img0"
    assert image_id(Path("cup.jpg.webp"), "n") == f"n/{image_key('cup.jpg.webp')}" == "n/cup.jpg"
    assert source_of(Path("/data/images/coco/train2014")) == "coco"
    assert source_of(Path("/data/images/vg")) == "vg"
    assert source_of(Path("/data/photos")) == "photos"
    assert source_of(Path("/images")) == "images"


def test_listing(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.jpeg"):
        draw_image(tmp_path / "images" / "s" / name.lower()).rename(tmp_path / "images" / "s" / name)
    (tmp_path / "images" / "s" / "notes.txt").write_text("no image")
    folder = tmp_path / "images" / "s"
    assert list(list_images([folder], "s")) == ["s/a", "s/b", "s/c"]
    with pytest.raises(InputError, match="no such folder of images"):
        list_images([tmp_path / "nowhere"], "s")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image files here"):
        list_images([tmp_path / "empty"], "s")
    draw_image(folder / "a.png")
    with pytest.raises(RegionError, match="the id s/a also belongs to"):
        list_images([folder], "s")


def test_images_are_opened_by_content_and_turned_upright(tmp_path: Path) -> None:
    upright = Image.new("RGB", (8, 4))
    upright.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side: rotate by 90 degrees clockwise to see it upright
    path = tmp_path / "jpeg-inside.png"
    upright.resize((80, 40), Image.Resampling.NEAREST).save(path, "JPEG", exif=exif, quality=95, subsampling=0)
    decoded = decode(path)
    assert decoded.size == (40, 80) and decoded.mode == "RGB"
    red, _, blue = decoded.getpixel((35, 5))  # type: ignore[misc]
    assert red > 200 and blue < 60


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    white = Image.fromarray(np.full((6, 9), 65535, np.uint16)) if mode == "I;16" else None
    white = white or Image.new("RGB", (9, 6), "white").convert("L" if mode in ("I", "F") else mode.replace("LA", "L"))
    white = white if white.mode == mode else white.convert(mode)
    path = tmp_path / ("x.tiff" if mode in ("I;16", "I", "F", "CMYK") else "x.png")
    white.save(path)
    pixels = resized(decode(path), (9, 6))
    assert pixels.shape == (6, 9, 3) and pixels.dtype == np.uint8 and pixels.min() > 240


def test_what_is_transparent_shows_white(tmp_path: Path) -> None:
    Image.new("RGBA", (3, 3), (0, 0, 0, 0)).save(tmp_path / "x.png")
    assert resized(decode(tmp_path / "x.png"), (3, 3)).min() == 255


def test_files_that_are_no_images(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "JPEG")
    for data in (b"", b"GIF89a", b"text", buffer.getvalue()[:600]):
        (tmp_path / "x.jpg").write_bytes(data)
        with pytest.raises((OSError, ValueError, SyntaxError)):
            decode(tmp_path / "x.jpg")


def test_resizing() -> None:
    grey = Image.new("RGB", (10, 20), (9, 8, 7))
    assert (resized(grey, (33, 44)) == (9, 8, 7)).all() and resized(grey, (33, 44)).shape == (44, 33, 3)
