"""Opening a trained model from a folder, or from the hub (``hub:owner/model``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.config import load_run
from twelve.errors import CheckpointError, ConfigError, nearest
from twelve.formats.records import describe
from twelve.io.files import is_there
from twelve.io.hub import HUB_NAME, PACKAGE, inside, resolve
from twelve.io.json_file import read_object
from twelve.model.processor import TwelveProcessor
from twelve.predictor.abilities import Abilities
from twelve.run_folder import RunFolder, model_folder
from twelve.tasks.base import Task
from twelve.tasks.custom import own_tasks

if TYPE_CHECKING:
    from twelve.predictor.predictor import Predictor
    from twelve.regions.extraction.extractor import Extractor

_FILES = ("*.json", "*.safetensors")
"""The files of a model in a hub repository."""


def find(path: str | Path) -> Path:
    """The folder with the model's files, for a path that :func:`load` takes.

    Raises:
        CheckpointError: there is no model.
        ConfigError: ``path`` is not a path.
    """
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ConfigError(f"expected the path of a model, found {describe(path)}", remedy="name a run folder")
    folder = Path(path).expanduser()
    if not folder.exists():
        if not str(path).startswith((HUB_NAME, PACKAGE)):
            raise CheckpointError(
                f"no such folder{_beside(folder)}",
                file=str(path),
                remedy="name a run's folder, a model's folder, or hub:owner/model for one on the hub",
            )
        folder = resolve(path, *_FILES)
    return model_folder(folder)


def _beside(folder: Path) -> str:
    """A hint at the folder whose name is most similar."""
    try:
        return nearest(folder.name, [one.name for one in folder.parent.iterdir() if one.is_dir()])
    except OSError:
        return ""


def abilities_of(folder: Path) -> Abilities:
    """The questions that the model in a folder can answer; its network is not read.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    remedy = "use the file that was saved with the model"
    heads = read_object(inside(folder, "config.json"), remedy=remedy).get("heads")
    if not isinstance(heads, dict) or not all(isinstance(head, dict) and "kind" in head for head in heads.values()):
        raise CheckpointError(
            "expected heads as a mapping of keys to kind and size",
            file=folder / "config.json",
            remedy=remedy,
        )
    return Abilities(TwelveProcessor.from_pretrained(folder), heads, _own_tasks(folder))


def _own_tasks(folder: Path) -> Mapping[str, Task]:
    """The tasks that the run of a model defines itself."""
    return own_tasks(load_run(folder.parent).tasks) if is_there(RunFolder(folder.parent).config, ConfigError) else {}


def load(
    path: str | Path,
    *,
    extractor: Extractor | None = None,
    weights: str | None = None,
    device: str = "cpu",
) -> Predictor:
    """Open a trained model.

    Args:
        path: a run's folder, a folder written by ``save_pretrained``, or ``hub:owner/model``.
        extractor, weights: see :class:`Predictor`.
        device: cpu or cuda.

    Raises:
        CheckpointError: there is no model, or it is damaged.
        ConfigError: ``path`` is not a path, or the device cannot be used.
    """
    found = find(path)
    own = _own_tasks(found)  # errors are raised before anything heavy is imported
    from twelve.model.opening import open_network
    from twelve.predictor.predictor import Predictor

    model, processor = open_network(found)
    return Predictor(model, processor, extractor=extractor, weights=weights, device=device, own=own)
