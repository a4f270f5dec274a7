"""Opening a trained model from a folder, or from the hub (``hub:owner/model``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twelve.config import load_run
from twelve.errors import CheckpointError, ConfigError
from twelve.io.files import is_there
from twelve.io.hub import inside
from twelve.io.json_file import read_object
from twelve.model.processor import TwelveProcessor
from twelve.model.settings import no_contrast
from twelve.predictor.abilities import Abilities
from twelve.predictor.asked import find
from twelve.run_folder import RunFolder
from twelve.settings import Precision
from twelve.tasks.base import Task
from twelve.tasks.custom import own_tasks

if TYPE_CHECKING:
    from twelve.predictor.predictor import Predictor
    from twelve.regions.extraction.extractor import Extractor


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


def check_contrast(folder: Path) -> None:
    """Raise ConfigError if the model in a folder of :func:`find` has no contrast head; its network is not read."""
    tree = read_object(inside(folder, "config.json"), remedy="use the file that was saved with the model")
    if not tree.get("contrast"):
        raise no_contrast(folder)


def _own_tasks(folder: Path) -> Mapping[str, Task]:
    """The tasks that the run of a model defines itself."""
    return own_tasks(load_run(folder.parent).tasks) if is_there(RunFolder(folder.parent).config, ConfigError) else {}


def load(
    path: str | Path,
    *,
    extractor: Extractor | None = None,
    weights: str | None = None,
    device: str = "cpu",
    precision: Precision = "auto",
) -> Predictor:
    """Open a trained model.

    Args:
        path: a run's folder, a folder written by ``save_pretrained``, or ``hub:owner/model``.
        extractor: extracts regions from images; None for that of the training regions, built when first needed.
        weights: file of that extractor's weights, if it was built from one.
        device: cpu or cuda.
        precision: of the model's layers: fp32, bf16, or auto for bf16 where it is faster.

    Raises:
        CheckpointError: there is no model, or it is damaged.
        ConfigError: ``path`` is not a path, the device cannot be used, or there is no such precision.
    """
    folder = find(path)
    options: dict[str, Any] = {"extractor": extractor, "weights": weights, "device": device, "precision": precision}
    return opened(folder, _own_tasks(folder), **options)


def opened(folder: Path, own: Mapping[str, Task], **options: Any) -> Predictor:
    """:func:`load` for a folder of :func:`find` and its run's own tasks; takes the other arguments."""
    from twelve.model.opening import open_network
    from twelve.predictor.predictor import Predictor

    model, processor = open_network(folder)
    return Predictor(model, processor, own=own, **options)
