"""Opening a trained model by the name of its folder, or ``hub:owner/model``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.data.records import describe
from twelve.errors import CheckpointError, ConfigError, nearest
from twelve.jsonfile import read_object
from twelve.model.processor import TwelveProcessor
from twelve.model.sources import HUB_NAME, PACKAGE, inside, resolve
from twelve.predictor.abilities import Abilities
from twelve.runs import CONFIG, model_folder, open_run

if TYPE_CHECKING:
    from twelve.predictor.predictor import Predictor
    from twelve.regions.looking import Extractor

_FILES = ("*.json", "*.safetensors")
"""What a model in a hub repository consists of."""


def find(path: str | Path) -> Path:
    """The folder of a model's files, by the names that :func:`load` takes. A run's own tasks are known from then on.

    Raises:
        CheckpointError: there is no model.
        ConfigError: the path is none.
    """
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ConfigError(f"this is no path of a model: {describe(path)}", remedy="name a run folder")
    folder = Path(path).expanduser()
    if not folder.exists():
        if not str(path).startswith((HUB_NAME, PACKAGE)):
            raise CheckpointError(
                f"no such folder{_beside(folder)}",
                file=str(path),
                remedy="name a run's folder, a model's folder, or hub:owner/model for one on the hub",
            )
        folder = resolve(path, *_FILES)
    if (folder / CONFIG).is_file():
        open_run(folder)  # makes the run's own tasks known
    return model_folder(folder)


def _beside(folder: Path) -> str:
    """The folder that a misspelt name may mean, as a hint."""
    try:
        return nearest(folder.name, [one.name for one in folder.parent.iterdir() if one.is_dir()])
    except OSError:
        return ""


def abilities_of(folder: Path) -> Abilities:
    """What the model in a folder of :func:`find` can be asked, without its network.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    remedy = "use the file that was saved with the model"
    heads = read_object(inside(folder, "config.json"), remedy=remedy).get("heads")
    if not isinstance(heads, dict) or not all(isinstance(head, dict) and "kind" in head for head in heads.values()):
        raise CheckpointError(
            "heads must map keys to kind and size",
            file=folder / "config.json",
            remedy=remedy,
        )
    return Abilities(TwelveProcessor.from_pretrained(folder), heads)


def load(
    path: str | Path,
    *,
    extractor: Extractor | None = None,
    weights: str | None = None,
    device: str = "cpu",
) -> Predictor:
    """A trained model, ready to be asked.

    Args:
        path: a run's folder, a folder written by ``save_pretrained``, or ``hub:owner/model``.
        extractor, weights: see :class:`Predictor`.
        device: cpu or cuda.

    Raises:
        CheckpointError: there is no model, or it is damaged.
        ConfigError: the path is none, or the device cannot be used.
    """
    found = find(path)  # what is wrong shows before anything heavy is imported
    from twelve.model.opening import open_network
    from twelve.predictor.predictor import Predictor

    model, processor = open_network(found)
    return Predictor(model, processor, extractor=extractor, weights=weights, device=device)
