"""Opening a trained model from a folder, or from the hub (``hub:owner/model``)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twelve.config import load_run
from twelve.errors import CheckpointError, ConfigError, RegionError, TwelveError, quoted
from twelve.io.files import is_there
from twelve.io.hub import inside
from twelve.io.json_file import read_object
from twelve.model.processor import TwelveProcessor
from twelve.model.settings import no_contrast
from twelve.outputs import check_kinds, get_output
from twelve.predictor.abilities import Abilities
from twelve.predictor.asked import find
from twelve.regions.asked import check_weights
from twelve.run_folder import RunFolder, model_folder
from twelve.settings import Precision
from twelve.tasks.base import Task, all_tasks
from twelve.tasks.custom import own_tasks

if TYPE_CHECKING:
    from twelve.predictor.predictor import Predictor
    from twelve.regions.extraction.extractor import Extractor


def abilities_of(folder: Path) -> Abilities:
    """The questions that the model in a folder can answer; its network is not read.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: nothing has registered one of its outputs.
    """
    remedy = "use the file that was saved with the model"
    heads = read_object(inside(folder, "config.json"), remedy=remedy).get("heads")
    if not isinstance(heads, dict) or not all(isinstance(head, dict) and "kind" in head for head in heads.values()):
        raise CheckpointError(
            "expected heads as a mapping of keys to kind and size",
            file=folder / "config.json",
            remedy=remedy,
        )
    check_kinds(folder)
    return Abilities(TwelveProcessor.from_pretrained(folder), heads, _own_tasks(folder))


def check_contrast(folder: Path, without: str = "search without --index, --shortlist and --contrast-weight") -> None:
    """Raise ConfigError if the model in a folder of :func:`find` has no contrast head; its network is not read.

    Args:
        without: what to do about it where the head cannot be added.
    """
    if not _has_contrast(folder):
        raise no_contrast(folder, _to_search(folder, without))


def _has_contrast(folder: Path) -> bool:
    tree = read_object(inside(folder, "config.json"), remedy="use the file that was saved with the model")
    return bool(tree.get("contrast"))


def _to_search(folder: Path, remedy: str) -> str:
    """What to do about a model without the contrast head: add it with the captions that the model knows; if there are
    none, ``remedy``."""
    run = RunFolder(folder.parent)
    if is_there(run.config, ConfigError):
        config = load_run(run.path)
        words = [f"init={run.path}"]
        names, known, init = list(config.tasks), all_tasks(own_tasks(config.tasks)), config.model.init
    else:  # what was trained on is not known: the data are the reader's
        words = [f"init={folder}", "data=DATA"]
        names, known, init = list(TwelveProcessor.from_pretrained(folder).task_outputs), all_tasks(), None
    if able := [name for name in names if name in known and get_output(known[name].kind).contrasts]:
        settings = [word for setting in (*words, f"tasks=[{','.join(able)}]") for word in ("--set", setting)]
        return f"add one: {shlex.join(['twelve', 'train', 'configs/contrast.yaml', *settings])}"
    with suppress(TwelveError):  # the model that the run began with may be gone
        if init is not None and _has_contrast(model_folder(Path(init))):
            remedy += f", or with the model that this run began with, which has the head: {quoted(init)}"
    return f"{remedy}; the head learns from captions, which this model's tasks do not have"


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
        extractor: extracts regions from images; None for the extractor of the training regions, built when first
            needed.
        weights: of the extractor; needed only if neither this package nor the extra ``sample`` includes them: a file,
            ``package:NAME``, ``pretrained`` or ``random``.
        device: cpu or cuda.
        precision: of the model's layers: fp32, bf16, or auto for bf16 where it is faster.

    Raises:
        CheckpointError: there is no model, or it is damaged.
        ConfigError: ``path`` is not a path, the device cannot be used, or there is no such precision.
        RegionError: the file of weights does not exist.
    """
    try:
        check_weights(weights)
    except RegionError as error:
        remedy = "pass the path of a file as weights=, or leave it out"
        raise RegionError(error.problem, file=error.file, remedy=remedy) from None
    folder = find(path)
    options: dict[str, Any] = {"extractor": extractor, "weights": weights, "device": device, "precision": precision}
    return opened(folder, _own_tasks(folder), **options)


def opened(folder: Path, own: Mapping[str, Task], **options: Any) -> Predictor:
    """:func:`load` for a folder of :func:`find` and its run's own tasks; takes the other arguments."""
    from twelve.model.opening import open_network
    from twelve.predictor.predictor import Predictor

    model, processor = open_network(folder)
    return Predictor(model, processor, own=own, folder=folder, **options)
