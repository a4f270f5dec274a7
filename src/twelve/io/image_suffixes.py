"""Suffixes and first bytes of image files, to check a file without decoding it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from twelve.errors import InputError, closest, quoted

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Suffixes by which images are recognised in data roots, tables and folders."""
NO_IMAGE = "no such image"
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"P"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
)
"""First bytes of :data:`twelve.regions.images.FORMATS`, without WebP and AVIF, which are in containers."""

IMAGE_FILE = "give a JPEG, PNG, WebP, GIF, BMP or TIFF file"
"""What to do about a file that is no image: the usual formats, which are always read."""
_URL = re.compile(r"(https?|ftps?|s3|gs|file):/{1,3}", re.IGNORECASE)


def refuse_url(image: str | Path) -> None:
    """Refuse a URL in the place of a file, which would otherwise be a path that does not exist, without one of its
    slashes.

    Raises:
        InputError: says what to do.
    """
    text = image if isinstance(image, str) else image.as_posix()
    match = _URL.match(text)
    if match is None or Path(image).exists():
        return
    if match[1].lower() == "file":
        rest = text[match.end() :]
        raise InputError("URLs are not read", file=f"file:///{rest}", remedy=f"write its path: {quoted(f'/{rest}')}")
    url = f"{match[1]}://{text[match.end() :]}"
    raise InputError("URLs are not read", file=url, remedy="download it, and name the file or its folder")


def images_in(folder: Path) -> list[Path]:
    """The files with an image suffix in a folder given to ``--images``, by name; subfolders are not searched.

    Raises:
        InputError: the folder is missing or has none, or it is a URL.
    """
    refuse_url(folder)
    if not folder.is_dir():
        problem = "expected a folder of images, found a file" if folder.exists() else "no such folder of images"
        raise InputError(problem, file=folder, remedy="give a folder to --images")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError("no image files here", file=folder, remedy="give the folder that contains them to --images")
    return found


def beside(path: Path) -> str:
    """A hint at the image or the folder whose name is most similar to that of a missing one, in the same folder; or at
    the folder itself, if that is misspelt. Empty if there is none."""
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    is_image = missing is path and path.suffix.lower() in SUFFIXES
    try:
        inside = sorted(one for one in missing.parent.iterdir() if one != missing)  # it may be a link to nothing
    except OSError:
        return ""
    images = [one for one in inside if one.suffix.lower() in SUFFIXES]
    if is_image:
        named = {one.stem: one.name for one in images}
    else:
        named = {one.name: one.name for one in inside if one.is_dir()}
        if missing is path:  # the suffix of an image may be misspelt too
            named |= {one.name: one.name for one in images}
    near = closest(missing.stem if is_image else missing.name, named)
    above = str(missing).removesuffix(missing.name)  # so that the hint can be pasted
    return "" if near is None else f' (did you mean "{above}{named[near]}"?)'


def repeating(option: str, images: Sequence[str]) -> str:
    """What to write instead of several images after an option that takes one, as a shell makes of ``*.jpg``."""
    folders = {Path(image).parent for image in images}
    folder = quoted(folders.pop()) if len(folders) == 1 else "FOLDER"
    return f"write {option} before each image, or name their folder: {option} {folder}"


def flaw(path: Path) -> str:
    """Why a file cannot be an image, from its first bytes; an empty string where it may be one."""
    try:
        if not path.exists():
            return NO_IMAGE
        if not path.is_file():  # opening a pipe would wait for its writer
            return "is a folder" if path.is_dir() else "is not a regular file"
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        return error.strerror or "cannot be opened"
    return flaw_of(head)


def flaw_of(head: bytes) -> str:
    """Why a file with these first 16 bytes cannot be an image; an empty string where it may be one."""
    if not head:
        return "is empty"
    contained = (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:8] == b"ftyp"
    return "" if contained or head.startswith(_BEGINNINGS) else "is not an image (checked by content)"
