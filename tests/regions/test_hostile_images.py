"""Whatever lies in a folder of images: a run goes through, and says of each thing what is wrong with it."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from making import draw_image, extract, extractor_of
from PIL import Image, ImageCms, PngImagePlugin
from small_networks import CASES, shown

from twelve.errors import InputError, RegionError
from twelve.regions import images
from twelve.regions.images import MAX_PIXELS, decode, list_images, open_image
from twelve.regions.store.region_store import RegionStore

RED = (250, 10, 20)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header promises a large image."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def red(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB", size, RED).convert(mode)


def animated() -> bytes:
    frames = [Image.new("RGB", (40, 30), colour) for colour in (RED, (0, 0, 255), (0, 255, 0))]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def png_with_text(megabytes: int) -> bytes:
    """A compressed text chunk that blows up when it is read."""
    info = PngImagePlugin.PngInfo()
    info.add_text("x", "y" * (megabytes << 20), zip=True)
    return encoded(red(), "PNG", pnginfo=info)


def jpeg_with(marker: int, payload: bytes, times: int = 1) -> bytes:
    """A JPEG with application segments of one kind behind its start."""
    plain = encoded(red())
    segment = b"\xff" + bytes([marker]) + struct.pack(">H", len(payload) + 2) + payload
    return plain[:2] + segment * times + plain[2:]


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    wide = Image.new("RGB", (40, 20), (255, 255, 255))
    wide.paste(RED, (0, 0, 20, 10))  # red in the upper left corner
    return encoded(wide, "PNG", exif=exif)


WHOLE: dict[str, Callable[[], bytes]] = {
    "png named jpg": lambda: encoded(red(), "PNG"),
    "webp named jpg": lambda: encoded(red(), "WEBP", lossless=True),
    "bmp named jpg": lambda: encoded(red(), "BMP"),
    "animated": animated,
    "palette": lambda: encoded(red().quantize(8), "PNG"),
    "cmyk": lambda: encoded(red("CMYK"), "TIFF"),
    "rgba": lambda: encoded(red("RGBA"), "PNG"),
    "icc junk": lambda: encoded(red(), "JPEG", icc_profile=os.urandom(5000), quality=95),
    "icc profile": lambda: encoded(
        red(), icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ),
    "exif junk": lambda: jpeg_with(0xE1, b"Exif\0\0MM\0*" + b"\xff" * 900),
    "exif cut": lambda: jpeg_with(0xE1, b"Exif\0\0II*\0\x08\0\0\0"),
    "giant exif": lambda: jpeg_with(0xE1, b"Exif\0\0" + bytes(60_000), times=50),
    "jpeg of one tone": lambda: encoded(red()),
}
BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"just some words", r"is not an image \(checked by content\)"),
    "svg": (
        lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><rect/></svg>",
        r"is not an image \(checked by content\)",
    ),
    "postscript": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        r"is not an image \(checked by content\)",
    ),
    "cut": (lambda: encoded(shown(0, (200, 200)))[:900], "truncated"),
    "header alone": (lambda: encoded(red())[:20], "not in a supported format|truncated"),
    "bomb": (lambda: bomb(30_000, 30_000), "it has more than 89,478,485 pixels"),
    "huge bomb": (lambda: bomb(2**31 - 1, 2**31 - 1), "it has more than 89,478,485 pixels"),
    "text bomb": (lambda: png_with_text(65), "(?i)too large"),
    "promise": (lambda: bomb(3000, 3000), "truncated"),
    "small bomb": (lambda: bomb(10_000, 9000), "10000x9000 are more than 89,478,485 pixels"),
    "nothing wide": (lambda: bomb(0, 10), "no pixels|not in a supported format"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_odd_but_whole(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(WHOLE[name]())
    for found in (decode(tmp_path / "x.jpg"), open_image(WHOLE[name]())):
        assert found.mode == "RGB" and found.size == (40, 30)
        assert np.abs(np.asarray(found, dtype=int)[15, 20] - RED).max() < 12


@pytest.mark.parametrize("mode", ["1", "I;16", "I;16B", "I", "F", "L", "LA"])
def test_grey_images_of_every_depth_keep_their_contrast(mode: str, tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 40)[None].repeat(30, 0)
    if mode.startswith("I;16"):
        made = Image.fromarray((ramp * 65535).astype(">u2" if mode.endswith("B") else "<u2"))
    else:
        made = Image.fromarray((ramp * 255).astype(np.uint8)).convert(mode)
    made.save(tmp_path / "x.tiff" if mode != "LA" else tmp_path / "x.png")
    levels = np.asarray(decode(next(tmp_path.iterdir())), dtype=int)
    assert levels.shape == (30, 40, 3) and levels[15, 1].max() < 25 and levels[15, 38].min() > 230


def test_turned_once() -> None:
    """What was turned upright stays so when it is opened again."""
    image = open_image(oriented(6))
    assert open_image(image).size == image.size == (20, 40)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_upright(orientation: int) -> None:
    from PIL import ImageOps

    data = oriented(orientation)
    found = open_image(data)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert found.size == ((40, 20) if orientation < 5 else (20, 40))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_a_turned_tiff_is_turned_once(tmp_path: Path) -> None:
    wide = Image.new("RGB", (40, 20), (255, 255, 255))
    wide.save(tmp_path / "x.tiff", tiffinfo={274: 6})
    assert decode(tmp_path / "x.tiff").size == (20, 40)


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str, tmp_path: Path) -> None:
    make, why = BROKEN[name]
    (tmp_path / "x.jpg").write_bytes(make())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a limit is an error of that image, never a warning of the run
        with pytest.raises((OSError, ValueError, SyntaxError), match=why):
            decode(tmp_path / "x.jpg")


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path: Path) -> None:
    whole = encoded(red("L", (64, 64)), progressive=True)
    last = whole.rindex(b"\xff\xda")
    scans = whole[:last] + whole[last:-2] * 3000 + whole[-2:]
    (tmp_path / "a.jpg").write_bytes(scans)
    for image in (tmp_path / "a.jpg", scans):
        with pytest.raises(ValueError, match="scans"):
            open_image(image)
    assert open_image(whole).size == (64, 64)


def test_the_limit_of_pixels(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    Image.new("1", (400, 300)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"400x300 are more than 100,000 pixels$"):
        decode(tmp_path / "x.png", 100_000)
    assert decode(tmp_path / "x.png", 120_000).size == (400, 300)
    with pytest.raises(ValueError, match="more than 100,000 pixels"):
        open_image(Image.new("L", (400, 300)), 100_000)
    # A limit above Pillow's own is the limit.
    (tmp_path / "x.png").write_bytes(bomb(30_000, 30_000))
    with pytest.raises(OSError, match="truncated"):
        decode(tmp_path / "x.png", 10**10)
    assert before == Image.MAX_IMAGE_PIXELS and MAX_PIXELS == 1024**3 // 4 // 3


def make_everything(folder: Path) -> list[str]:
    """One of each odd thing in a folder, and two good images; returns the keys of what must be left out."""
    for name in ("good", "fine"):
        draw_image(folder / f"{name}.png", (64, 48), seed=len(name))
    for name, make in WHOLE.items():
        (folder / f"{name.replace(' ', '_')}.jpg").write_bytes(make())
    for name, (make, _) in BROKEN.items():
        (folder / f"broken_{name.replace(' ', '_')}.jpg").write_bytes(make())
    red(size=(1, 1)).save(folder / "dot.png")
    red(size=(20_000, 1)).save(folder / "line.png")
    red(size=(1, 20_000)).save(folder / "column.png")
    (folder / "broken_folder.jpg").mkdir()
    os.mkfifo(folder / "broken_pipe.jpg")
    (folder / "broken_loop.jpg").symlink_to(folder / "broken_loop.jpg")
    (folder / "broken_round.jpg").symlink_to(folder / "broken_trip.jpg")
    (folder / "broken_trip.jpg").symlink_to(folder / "broken_round.jpg")
    (folder / "broken_gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "broken_device.jpg").symlink_to("/dev/zero")
    (folder / "link.jpg").symlink_to(folder / "good.png")
    return sorted(path.stem for path in folder.iterdir() if path.stem.startswith("broken_"))


@pytest.mark.parametrize("kind", ["microworld", "x152", "two stages of torchvision", "timm, grid"])
def test_a_folder_of_everything(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "images" / "s"
    folder.mkdir(parents=True)
    left_out = make_everything(folder)
    with open(os.fsencode(folder) + b"/not\xffutf8.png", "wb") as file:
        file.write(encoded(shown(1), "PNG"))
    case = CASES[kind]
    report = extract(folder, case.boxes, case.make(tmp_path), tmp_path / "out", progress=False, workers=2, batch_size=4)
    # A network may also refuse an image that is one pixel high.
    assert set(left_out) <= {key.removeprefix("s/") for key in report.failed} <= {*left_out, "dot", "line", "column"}
    store = RegionStore(tmp_path / "out")
    done = set(store.ids("s"))
    assert {"s/good", "s/fine", "s/link", "s/not\\udcffutf8", "s/animated", "s/palette"} <= done
    assert len(done) + len(report.failed) == len(list(folder.iterdir()))
    for key, why in {
        "folder": "is a folder",
        "pipe": "is not a regular file",
        "loop": "symbolic links",
        "trip": "symbolic links",
        "gone": "is a link to a missing file",
        "device": "is not a regular file",
        "empty": "is empty",
        "bomb": "more than 89,478,485 pixels",
    }.items():
        assert why in report.failed[f"s/broken_{key}"]
    listed = (tmp_path / "out" / "s" / "s.failed.tsv").read_text().splitlines()
    assert dict(line.split("\t") for line in listed) == dict(report.failed) and report.failed_file is not None
    assert str(report).count("\n") <= 21 and str(report).isprintable() is False  # lines of a page, none of them odd
    assert f"all in {report.failed_file}" in str(report) or len(report.failed) <= 20
    good, link = store.get("s/good"), store.get("s/link")
    np.testing.assert_array_equal(good.features, link.features)  # type: ignore[arg-type]


def test_the_list_of_what_was_left_out_follows_the_last_run(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "s"
    draw_image(folder / "a.png")
    (folder / "b.png").write_bytes(b"")
    case = CASES["microworld"]
    network = case.make(tmp_path)
    for _ in range(2):
        report = extract(folder, "detect", network, tmp_path / "out", progress=False)
        assert (tmp_path / "out/s/s.failed.tsv").read_text() == "s/b\tb.png is empty\n"
    draw_image(folder / "b.png", seed=1)
    report = extract(folder, "detect", network, tmp_path / "out", progress=False)
    assert report.written == 1 and not report.failed and not (tmp_path / "out/s/s.failed.tsv").exists()


def test_two_names_of_one_id_are_no_accident(tmp_path: Path) -> None:
    draw_image(tmp_path / "a.png")
    draw_image(tmp_path / "a.jpg")
    with pytest.raises(RegionError, match="the id s/a also belongs to"):
        list_images([tmp_path], "s")


def test_one_odd_image_takes_no_other_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that fails on a batch is asked image by image."""
    folder = tmp_path / "images" / "s"
    for k in range(5):
        draw_image(folder / f"{k}.png", seed=k)
    network = CASES["microworld"].make(tmp_path)
    odd = network.prepare(decode(folder / "3.png")).pixels
    original = network.encode

    def encode(images: list[object]) -> object:
        if any(torch.equal(each.pixels, odd) for each in images):  # type: ignore[attr-defined]
            raise RuntimeError("not this one\nat all")
        return original(images)  # type: ignore[arg-type]

    monkeypatch.setattr(network, "encode", encode)
    report = extract(folder, "detect", network, tmp_path / "out", progress=False, batch_size=5)
    assert report.written == 4 and report.failed == {"s/3": "the network failed on this image (not this one)"}


def test_images_in_memory() -> None:
    extractor = extractor_of(CASES["microworld"].make(Path()), threshold=0.0)
    image = shown(1)
    levels = np.asarray(image)
    chw = torch.from_numpy(levels.copy()).permute(2, 0, 1)
    expected = extractor.extract(image)
    for same_image in (encoded(image, "PNG"), levels, levels / 255, chw, chw.float() / 255, (chw / 255).double()):
        found = extractor.extract(same_image)
        np.testing.assert_array_equal(found.features, expected.features)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.boxes, expected.boxes)
    grey = extractor.extract(levels[..., 0])
    np.testing.assert_array_equal(grey.features, extractor.extract(image.getchannel(0)).features)  # type: ignore
    np.testing.assert_array_equal(grey.features, extractor.extract(chw[0]).features)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (b"", "^the data is empty -> give a JPEG, PNG, WebP, GIF, BMP or TIFF file"),
        (
            b"words",
            r"^the data is not an image \(checked by content\) -> give a JPEG, PNG, WebP, GIF, BMP or TIFF file",
        ),
        (np.zeros((3, 64, 96), np.uint8), r"shape \(3, 64, 96\) is not an image: arrays are H x W x 3"),
        (torch.zeros(64, 96, 3), "is not an image: arrays are H x W x 3, tensors 3 x H x W"),
        (np.zeros((4, 6, 3), np.float32) + 200, "floats must lie in 0..1"),
        (np.full((4, 6, 3), np.nan), "floats must lie in 0..1"),
        (torch.randn(3, 8, 8), "floats must lie in 0..1"),
        (np.zeros((4, 6, 3), np.int64), "an image of int64 values: give uint8"),
        (torch.zeros(3, 4, 6, dtype=torch.int32), "an image of int64 values"),
        (np.zeros((0, 6, 3), np.uint8), "no pixels"),
        (7, "^int is not an image -> pass a path, the bytes of a file, a Pillow image, an array or a tensor$"),
        (None, "^NoneType is not an image -> pass a path"),
        ("https://example.org/a.jpg", r"^https://example\.org/a\.jpg: URLs are not read -> download it"),
        (Path("HTTPS://example.org/a.jpg"), r"^HTTPS://example\.org/a\.jpg: URLs are not read -> download it"),
        ("file:///tmp/none.jpg", r"^file:///tmp/none\.jpg: URLs are not read -> write its path: /tmp/none\.jpg$"),
        ("https.jpg", r"^https\.jpg: no such image -> check its path$"),
        ("nowhere.jpg", r"nowhere\.jpg: no such image"),
    ],
)
def test_what_is_no_image(image: object, why: str) -> None:
    extractor = extractor_of(CASES["microworld"].make(Path()))
    with pytest.raises(InputError, match=why):
        extractor.extract(image)  # type: ignore[arg-type]


def test_a_missing_image_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    """As by commands (tests/predictor/test_first_checks.py)."""
    extractor = extractor_of(CASES["microworld"].make(Path()))
    shown().save(tmp_path / "one.png")
    for missing, told in (
        (tmp_path / "on.png", f' (did you mean "{tmp_path}/one.png"?)'),
        (str(tmp_path / "one.jpg"), f' (did you mean "{tmp_path}/one.png"?)'),
        (tmp_path / "one.pn", f' (did you mean "{tmp_path}/one.png"?)'),
        (tmp_path / "one", f' (did you mean "{tmp_path}/one.png"?)'),
        (tmp_path / "quite-different.png", ""),
    ):
        with pytest.raises(InputError) as error:
            extractor.extract(missing)
        assert str(error.value) == f"{missing}: no such image{told} -> check its path"


def test_boxes_that_are_none() -> None:
    extractor = extractor_of(CASES["microworld"].make(Path()))
    for boxes, why in (
        ([[5, 5, 5, 9]], "has no area"),
        ([[9, 5, 5, 9]], "ends before it begins"),
        ([[500, 500, 600, 600]], "is wholly outside its image of 96x64 pixels"),
        ([[0, 0, float("nan"), 4]], "is not finite"),
        ([0, 0, 4, 4], r"found \(4,\) -> give four numbers per box"),
    ):
        with pytest.raises(InputError, match=why):
            extractor.extract(shown(), boxes)


def test_formats_are_plain_decoders() -> None:
    assert not {"EPS", "WMF", "FPX", "MIC", "PDF", "SPIDER", "FITS"} & set(images.FORMATS)
