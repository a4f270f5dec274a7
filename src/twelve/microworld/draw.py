"""Drawing of scenes: a textured ground and, back to front, things with colours and patterns.

There are two styles: ``photo`` for photographs, and ``painted`` (warm, thick outlines, blurred ground) for the
collection that should look as if it had another origin.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from twelve.io.files import write_error
from twelve.microworld.scene import COLOURS, Thing, WorldScene
from twelve.microworld.shapes import SHAPES, Part
from twelve.microworld.world import PARALLEL, World, WorldImage
from twelve.progress import Track
from twelve.regions.camera_marks import mark

Style: TypeAlias = Literal["photo", "painted"]
RGB: TypeAlias = tuple[int, int, int]

FINER = 3
"""Oversampling factor for smooth edges."""

GROUNDS: dict[str, RGB] = {
    "grass": (126, 138, 100),
    "sand": (198, 182, 146),
    "snow": (218, 224, 230),
    "stone": (134, 133, 136),
}
NEUTRAL: dict[str, RGB] = {"dark": (52, 48, 50), "grey": (132, 124, 118), "pale": (214, 222, 226)}
DARKENED = frozenset({"yellow", "white"})
"""Colours with a darker pattern; other colours have a lighter one."""

_WARM = np.array([1.05, 1.0, 0.88], dtype=np.float32)


def draw(scene: WorldScene, *, seed: int, style: Style = "photo") -> Image.Image:
    """Draw a scene as RGB image of ``scene.width`` x ``scene.height`` pixels.

    Args:
        seed: seed of all random details (texture, light, shades, directions that things face). The same scene, seed and
            style give the same image.
    """
    rng = np.random.default_rng([seed, 1])
    image = Image.fromarray(_ground(scene, rng, style))
    for thing in scene.things:
        _put(image, thing, rng, style)
    return Image.fromarray(_finished(image, rng, style))


def _ground(scene: WorldScene, rng: np.random.Generator, style: Style) -> NDArray[np.uint8]:
    """(H, W, 3) empty ground."""
    width, height = scene.width, scene.height
    blotches = _noise(rng, width, height, 20, 20)
    if scene.ground == "grass":
        texture = 9 * blotches + 12 * _noise(rng, width, height, 1, 6)
    elif scene.ground == "sand":
        texture = 5 * blotches + 7 * _noise(rng, width, height, 1, 1) + 4 * _noise(rng, width, height, 24, 4)
    elif scene.ground == "snow":
        texture = 5 * blotches + 2 * _noise(rng, width, height, 1, 1)
    else:
        texture = 6 * blotches + 4 * _noise(rng, width, height, 1, 1) - 26 * _joints(rng, width, height)
    ground = np.array(GROUNDS[scene.ground], dtype=np.float32) + rng.uniform(-6, 6, 3).astype(np.float32)
    pixels = _bytes(ground + texture[..., None])
    if style == "painted":
        pixels = np.asarray(Image.fromarray(pixels).filter(ImageFilter.BoxBlur(2)))
    return pixels


def _noise(rng: np.random.Generator, width: int, height: int, across: int, down: int) -> NDArray[np.float32]:
    """(H, W) smooth noise of about unit variance, with grains of ``across`` x ``down`` pixels."""
    shape = -(-height // down) + 1, -(-width // across) + 1
    grains = rng.standard_normal(shape, dtype=np.float32)
    if (across, down) == (1, 1):
        return grains[:height, :width]
    smooth = Image.fromarray(grains).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(smooth, dtype=np.float32) * np.float32(1.4)


def _joints(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """(H, W) 1 on the joints of paving stones, 0 elsewhere."""
    lines = np.zeros((height, width), dtype=np.float32)
    size = int(rng.integers(24, 34))
    for row, top in enumerate(range(int(rng.integers(-size, 0)), height, size)):
        lines[max(top, 0) : max(top + 1, 0)] = 1
        for left in range(int(rng.integers(0, 8)) + row % 2 * size // 2, width, size + 8):
            lines[max(top, 0) : max(top + size, 0), left : left + 1] = 1
    return lines


def _put(image: Image.Image, thing: Thing, rng: np.random.Generator, style: Style) -> None:
    """Draw one thing on top of the image, with a soft shadow."""
    x1, y1, x2, y2 = (round(edge) for edge in thing.box)
    tile = _tile(thing, x2 - x1, y2 - y1, rng, style)
    shadow = tile.getchannel("A").point([value * 3 // 10 for value in range(256)])
    image.paste((30, 28, 40), (x1 + 2, y1 + 2), shadow)
    image.paste(tile, (x1, y1), tile)


def _tile(thing: Thing, width: int, height: int, rng: np.random.Generator, style: Style) -> Image.Image:
    """RGBA image of width x height pixels, filled by the thing."""
    large = (width * FINER, height * FINER)
    base = np.array(COLOURS[thing.colour]) + rng.integers(-9, 10, 3)
    tones = {**NEUTRAL, "deep": _rgb(base * 0.72)}
    edge, thickness = _rgb(base * 0.42), 4 if style == "painted" else 2
    coloured = _patterned(thing, large, base, rng)
    tile = Image.new("RGBA", large)
    canvas = ImageDraw.Draw(tile)
    for part in SHAPES[thing.kind]:
        if part.tone == "body":
            inside = Image.new("1", large)
            _outline(ImageDraw.Draw(inside), part, large, fill=1, edge=1, thickness=1)
            tile.paste(coloured, (0, 0), inside)
            _outline(canvas, part, large, fill=None, edge=edge, thickness=thickness)
        else:
            _outline(canvas, part, large, fill=tones[part.tone], edge=edge, thickness=thickness)
    small = tile.reduce(FINER)
    if rng.random() < 0.5:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _lit(small)


def _outline(
    canvas: ImageDraw.ImageDraw,
    part: Part,
    size: tuple[int, int],
    *,
    fill: RGB | int | None,
    edge: RGB | int,
    thickness: int,
) -> None:
    """Draw one part on a canvas of ``size``, with an edge of ``thickness`` canvas pixels."""
    points = [(x * (size[0] - 1), y * (size[1] - 1)) for x, y in part.points]
    if part.form == "polygon":
        canvas.polygon(points, fill=fill, outline=edge, width=thickness)
    elif part.form == "ellipse":
        canvas.ellipse(points, fill=fill, outline=edge, width=thickness)
    else:
        width = max(FINER, round(part.width * max(size)))
        canvas.line(points, fill=fill, width=width, joint="curve")


def _patterned(thing: Thing, size: tuple[int, int], base: NDArray[np.int64], rng: np.random.Generator) -> Image.Image:
    """RGB area of ``size`` in the thing's colour and pattern."""
    area = Image.new("RGB", size, _rgb(base))
    if thing.pattern == "plain":
        return area
    canvas, step = ImageDraw.Draw(area), FINER * (5 if thing.size == "small" else 8)
    tone = _rgb(base * 0.6) if thing.colour in DARKENED else _rgb(base * 0.4 + 255 * 0.6)
    start = int(rng.integers(0, step))
    if thing.pattern == "striped":
        for x in range(start - size[1], size[0], step):
            canvas.line([(x, size[1]), (x + size[1], 0)], fill=tone, width=round(step * 0.42))
        return area
    radius = step * 0.29
    for row, y in enumerate(range(start - step, size[1] + step, round(step * 0.87))):
        for x in range(start - step - row % 2 * step // 2, size[0] + step, step):
            canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=tone)
    return area


def _lit(tile: Image.Image) -> Image.Image:
    """Light the tile from the upper left."""
    width, height = tile.size
    pixels = np.asarray(tile).astype(np.float32)
    x, y = np.linspace(0, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32)
    pixels[..., :3] *= (1.1 - 0.12 * x[None] - 0.14 * y[:, None])[..., None]
    return Image.fromarray(_bytes(pixels), "RGBA")


def _finished(image: Image.Image, rng: np.random.Generator, style: Style) -> NDArray[np.uint8]:
    """(H, W, 3) with daylight and the style's finish: sensor noise or warmth."""
    pixels = np.asarray(image).astype(np.float32) * rng.uniform(0.94, 1.04)
    if style == "photo":
        pixels += 3 * rng.standard_normal(pixels.shape, dtype=np.float32)
    else:
        pixels *= _WARM
    return _bytes(pixels)


def _bytes(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _rgb(values: NDArray[np.floating[Any]] | NDArray[np.integer[Any]]) -> RGB:
    red, green, blue = np.clip(np.rint(values), 0, 255).astype(int).tolist()
    return red, green, blue


def write_images(
    world: World, folder: Path, workers: int | None = None, *, collections: Collection[str] | None = None
) -> int:
    """Draw the images of a world into ``folder/images/`` and return their number. The same world gives the same bytes.

    Images shared by two collections are drawn once and stored under both names, as in the originals.

    Args:
        collections: draw the images of these alone; None for all.
        workers: number of worker processes; by default one per core, 0 for none.

    Raises:
        TwelveError: the disk is full, or the folder is not writable.
    """
    images = [image for image in world.images() if collections is None or image.file.partition("/")[0] in collections]
    shared = {int(image.key): image.file for image in images if image.file.startswith("coco/")}
    drawn = [image for image in images if image.coco_id not in shared]
    jobs = [(image.scene, image_seed(world, image), image.camera, folder / "images" / image.file) for image in drawn]
    workers = (os.cpu_count() or 1) if workers is None else workers
    try:
        for place in {target.parent for *_, target in jobs}:
            place.mkdir(parents=True, exist_ok=True)
        with Track("generating images", len(jobs), "images") as bar:
            for done in _mapped(_draw_file, jobs, workers):
                bar.advance(done)
        for image in images:
            if image.coco_id in shared:
                shutil.copyfile(folder / "images" / shared[image.coco_id], folder / "images" / image.file)
    except OSError as error:
        raise write_error(error, folder) from None
    return len(images)


_Job: TypeAlias = tuple[WorldScene, int, int | None, Path]


def _mapped(work: Callable[[_Job], int], jobs: Sequence[_Job], workers: int) -> Iterator[int]:
    if workers < 2 or len(jobs) < PARALLEL:
        yield from map(work, jobs)
        return
    # Spawned, not forked, since the caller may have threads.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, jobs, chunksize=16)


def _draw_file(job: _Job) -> int:
    scene, seed, camera, target = job
    style: Style = "painted" if target.parent.name == "flickr30k" else "photo"
    image = draw(scene, seed=seed, style=style)
    _save(image if camera is None else Image.fromarray(mark(np.asarray(image), camera)), target, target.suffix)
    return 1


def image_seed(world: World, image: WorldImage) -> int:
    """The seed of an image; images that Visual Genome shares with COCO have COCO's."""
    collection = image.file.split("/")[0]
    name = f"coco/{image.coco_id}" if image.coco_id is not None else f"{collection}/{image.key}"
    return zlib.crc32(f"{world.seed} {name}".encode())


def _save(image: Image.Image, path: Path, suffix: str) -> None:
    if suffix == ".png":
        image.save(path, format="PNG", compress_level=4)
    else:
        image.save(path, format="JPEG", quality=90)
