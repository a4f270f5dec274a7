"""Folders of runs: their configuration and their model. Imports nothing heavy: a mistyped path is told at once."""

from __future__ import annotations

import os
from pathlib import Path

from twelve.config import load
from twelve.errors import CheckpointError, ConfigError, quoted
from twelve.io import files
from twelve.io.paths import CONFIG as CONFIG
from twelve.settings import RunConfig

VALIDATION_IMAGES = "validation_images.json"
"""Which training images a run did not train on, in its folder."""
TRAINED = "trained.json"
"""Written when the last iteration is done: a model folder alone may be that of the best validation so far."""
STAGES = "stages.json"
"""Stage of a quickstart -> seconds it took."""
EVALUATION = "evaluation.json"
METRICS = "metrics.jsonl"
"""In a run's folder."""
_WRITTEN = (
    *(CONFIG, VALIDATION_IMAGES, TRAINED, STAGES, EVALUATION, METRICS, "evaluation-full.json", "data.json"),
    *("machine.json", "predictions.jsonl", "report.html", "model"),
)
"""What training, measuring and reporting write."""


def check_links(folder: Path) -> None:
    """Refuse a run, which may come from anybody, whose files are links out of its folder, before it is written to: what
    they lead to would be replaced. (The folder itself, and its checkpoints, may be links.)

    Raises:
        ConfigError: names the link.
    """
    home = os.path.realpath(folder)
    for name in _WRITTEN:
        real = os.path.realpath(folder / name)
        if (folder / name).is_symlink() and os.path.dirname(real) != home:
            raise ConfigError(
                f"is a link out of its run, and what it leads to would be replaced: {real}",
                file=folder / name,
                remedy="put the file itself here, if it is yours",
            )


def model_folder(path: Path) -> Path:
    """The folder that from_pretrained opens: ``path`` itself or a run's ``model``.

    Raises:
        CheckpointError: neither is one, or something that is no file is in a file's place.
    """
    files.settle(path / "model")
    for folder in (path / "model", path):
        if all([files.is_there(folder / name, CheckpointError) for name in ("config.json", "processor_config.json")]):
            return folder
    if files.is_there(path / CONFIG, CheckpointError):
        raise CheckpointError(
            "this run has no model yet",
            file=path,
            remedy=f"train on: twelve train {quoted(path / CONFIG)} --continue",
        )
    raise CheckpointError("no model here", file=path, remedy="name a run folder or a folder written by save_pretrained")


def open_run(folder: Path) -> RunConfig:
    """Configuration of an existing run.

    Raises:
        ConfigError: the folder holds no run.
    """
    if not files.is_there(folder / CONFIG, ConfigError):
        problem = "this folder holds no run" if folder.is_dir() else "no run here, the folder does not exist"
        raise ConfigError(problem, file=folder, remedy="train one: twelve train CONFIG")
    return load(folder / CONFIG)
