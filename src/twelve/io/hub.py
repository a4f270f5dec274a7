"""Finds pretrained parts in a folder, in a PyPI package with a model, or on the hub; pushes models there."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from twelve.errors import CheckpointError, TwelveError

PACKAGE, HUB_NAME = "package:", "hub:"
NAMED = "name a folder, package:MODULE or a hub name (owner/model)"
HUB = ("cache_dir", "force_download", "local_files_only", "revision", "token")
"""Options of fetching from the hub."""
_TOKEN = "log in with a token that may write (hf auth login), and check owner and name"
_CONNECTION = "check the connection and the hub's URL (HF_ENDPOINT), and run it again"


def resolve(
    name: str | Path, *files: str, error: type[TwelveError] = CheckpointError, named: str = NAMED, **hub: Any
) -> Path:
    """The folder that ``name`` stands for.

    Args:
        name: a folder; ``package:MODULE`` for an installed package with a function ``get_model_path`` or a folder
            ``model``; ``hub:owner/model``. A plain ``owner/model`` or ``model`` is also a name on the hub, unless it is
            a path: ``owner`` is a folder here, or there are more parts.
        files: patterns of the files to fetch from the hub.
        error: type of the errors to raise.
        named: the remedy where there is nothing with this name.
        hub: options of :data:`HUB`.

    Raises:
        TwelveError: of type ``error``: there is nothing with this name.
    """
    name = str(name)
    if name.startswith(PACKAGE):
        return _of_package(name.removeprefix(PACKAGE), error)
    if name.startswith(HUB_NAME):
        return _of_hub(name.removeprefix(HUB_NAME), files, error, named, hub)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    # Below an existing folder, it is a mistyped path, not the name of a repository.
    below = "/" in name and folder.parent.is_dir()
    if below or name.count("/") > 1 or name.startswith((".", "/", "~")) or "\\" in name:
        raise error("no such folder", file=name, remedy=named)
    return _of_hub(name, files, error, named, hub)


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


def upload(folder: Path, name: str, *, private: bool, message: str, stale: Sequence[str] = ()) -> str:
    """Push the files of a folder to a model's repository on the hub as one commit; the repository is made if there is
    none. Returns the model's URL.

    Args:
        stale: patterns of files that are removed from the repository if the folder does not have them.

    Raises:
        CheckpointError: the hub cannot be reached, or refuses it.
    """
    with _asking("the hub does not take the model", name, CheckpointError, _TOKEN, _CONNECTION):
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        hub = HfApi()
        url = hub.create_repo(name, private=private or None, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=folder, commit_message=message, delete_patterns=list(stale) or None)
    return str(url)


@contextmanager
def _asking(problem: str, name: str, error: type[TwelveError], refused: str, lost: str) -> Iterator[None]:
    """Whatever the hub's client raises as one error about ``name``: what answers need not be the hub, and makes the
    client raise anything.

    Args:
        refused: the remedy where the hub answered, or would refuse the name or find no token.
        lost: the remedy where it did not answer, or something else did.
    """
    try:
        yield
    except Exception as raised:
        from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError

        status = getattr(getattr(raised, "response", None), "status_code", None)
        reached = isinstance(status, int) and status < 500
        remedy = refused if reached or isinstance(raised, HFValidationError | LocalTokenNotFoundError) else lost
        raise error(f"{problem}: {_reason(raised)}", file=name, remedy=remedy) from None


def _reason(problem: Exception) -> str:
    """The first line of an error."""
    first = next(iter(str(problem).strip().splitlines()), "")
    if isinstance(problem, LookupError | TypeError | AttributeError | JSONDecodeError):
        return f"not a valid answer from the hub ({type(problem).__name__}: {first})"
    return first or type(problem).__name__


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
        raise error(f"the package {module} contains no model", file=folder, remedy="install a package with a model")
    return folder


def _of_hub(name: str, files: tuple[str, ...], error: type[TwelveError], named: str, hub: dict[str, Any]) -> Path:
    with _asking("not a folder, and not available from the hub", name, error, named, f"{named}; {_CONNECTION}"):
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=list(files), **hub))
