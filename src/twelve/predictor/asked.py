"""The images and the model that ``twelve predict``, ``match``, ``serve`` and ``export`` name: what is misspelt is told
before anything else is imported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from twelve.errors import CheckpointError, InputError, quoted
from twelve.formats.records import describe
from twelve.io.files import folder_beside
from twelve.io.hub import HUB_NAME, PACKAGE, resolve
from twelve.io.image_suffixes import IMAGE_FILE, SUFFIXES, beside, flaw, refuse_url, repeating
from twelve.run_folder import model_folder

_FILES = ("*.json", "*.safetensors")
"""The files of a model in a hub repository."""
_NAMED = "name a run's folder, a model's folder, or hub:owner/model for one on the hub"


def find(path: str | Path) -> Path:
    """The folder with the model's files, for a path that :func:`twelve.load` takes.

    Raises:
        CheckpointError: there is no model.
        InputError: ``path`` is not a path.
    """
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise InputError(f"expected the path of a model, found {describe(path)}", remedy="name a run folder")
    folder = Path(path).expanduser()
    if is_image(folder):
        remedy = "name a run's folder or a model's folder in its place"
        raise CheckpointError("this is an image, not a model", file=str(path), remedy=remedy)
    if not folder.exists():
        if not str(path).startswith((HUB_NAME, PACKAGE)):
            raise CheckpointError(
                f"no such folder{folder_beside(folder)}",
                file=str(path),
                remedy=_NAMED,
            )
        folder = resolve(path, *_FILES, named=_NAMED)
    return model_folder(folder)


def is_image(path: Path) -> bool:
    """Whether a path leads to an image file, by its name and its first bytes."""
    return path.suffix.lower() in SUFFIXES and not flaw(path)


def check_order(run: str, images: Sequence[Path], command: str) -> None:
    """Refuse an image in the place of the model.

    Args:
        run: what is in the model's place.
        images: what was named as images, perhaps the model.
        command: the right one, with MODEL and IMAGE.

    Raises:
        CheckpointError: gives the order.
    """
    if not is_image(Path(run).expanduser()):
        return
    model = next((quoted(path) for path in images if path.is_dir() and _is_model(path)), "MODEL")
    told = command.replace("MODEL", model).replace("IMAGE", quoted(run))
    remedy = f"name the model first, and images by their option: {told}"
    raise CheckpointError("this is an image, not a model", file=run, remedy=remedy)


def check_captions(captions: Iterable[str]) -> None:
    """Refuse images in the place of captions, where a shell puts all but the first of ``--images *.jpg``.

    Raises:
        InputError: tells how to name several images.
    """
    images = [caption for caption in captions if Path(caption).suffix.lower() in SUFFIXES and os.path.isfile(caption)]
    if images:
        problem = f"expected a caption, found the image {images[0]}"
        raise InputError(problem, remedy=repeating("--images", images))


def _is_model(folder: Path) -> bool:
    try:
        model_folder(folder)
    except CheckpointError:
        return False
    return True


def images_in(paths: Sequence[Path], besides: Path | None = None) -> list[Path]:
    """The given image files, and those in the given folders and their subfolders, each once, in order.

    Hidden subfolders and links to folders are not entered. A subfolder that cannot be listed is among the files, and
    fails as they do.

    Args:
        besides: a subfolder that is not entered either.

    Raises:
        InputError: there is no such file, or it is a URL; or no image is in a folder and its subfolders.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            inside = _below(path, None if besides is None else os.path.abspath(besides))
            if not inside:
                problem = "no images in this folder, nor in its subfolders"
                raise InputError(problem, file=path, remedy="name a folder of images")
        elif path.exists():
            inside = [path]
        else:
            refuse_url(path)
            kind = "image" if path.suffix.lower() in SUFFIXES else "folder or image"
            raise InputError(f"no such {kind}{beside(path)}", file=path, remedy="check its path")
        for one in inside:
            found.setdefault(os.path.abspath(one), one)
    return list(found.values())


def _below(folder: Path, besides: str | None) -> list[Path]:
    refused: list[OSError] = []
    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=refused.append):
        below = [name for name in folders if not name.startswith(".")]
        folders[:] = [name for name in below if os.path.abspath(os.path.join(place, name)) != besides]
        inside = (Path(place, name) for name in files)
        found += [path for path in inside if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted([*found, *(Path(error.filename) for error in refused)])


def short_names(paths: Iterable[Path], named: Iterable[Path] | None = None) -> dict[Path, str]:
    """Path -> the path relative to the deepest folder that has all of them.

    Args:
        named: images and folders that the user named; if the images do not all lie in one of these folders, or in the
            folder of one of these images, they have their whole paths.
    """
    whole = {path: os.path.abspath(path) for path in paths}
    top = os.path.commonpath([os.path.dirname(path) for path in whole.values()]) if whole else ""
    folders = None if named is None else [os.path.abspath(path if path.is_dir() else path.parent) for path in named]
    if folders is not None and not any(Path(top).is_relative_to(folder) for folder in folders):
        return {path: str(path) for path in whole}
    return {path: Path(os.path.relpath(absolute, top)).as_posix() for path, absolute in whole.items()}


def check_images(paths: Iterable[Path], corrections: Mapping[Path, str] | None = None) -> None:
    """Check that at least one file is an image. The others only fail their own questions.

    Args:
        corrections: what to do about a file that is not there, where it is another than to check its path.

    Raises:
        InputError: according to its first bytes, none of the files is an image; names the first.
    """
    flaws = {path: flaw(path) for path in dict.fromkeys(paths)}
    if flaws and all(flaws.values()):
        file, why = next(iter(flaws.items()))
        remedy = IMAGE_FILE if file.exists() else (corrections or {}).get(file, "check its path")
        hint = "" if file.exists() else beside(file)
        raise InputError(why + hint, file=file, remedy=remedy)
