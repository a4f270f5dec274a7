"""Opening a trained model by the name of its folder, or a hub name."""

from __future__ import annotations

import os
from pathlib import Path

from twelve.data.records import describe
from twelve.errors import CheckpointError, ConfigError
from twelve.model.processor import TwelveProcessor
from twelve.model.sources import resolve
from twelve.model.vilbert import Twelve
from twelve.predictor.predictor import Predictor
from twelve.regions.looking import Extractor

_FILES = ("*.json", "*.safetensors")
"""What a model in a hub repository consists of."""


def load(
    path: str | Path,
    *,
    extractor: Extractor | None = None,
    weights: str | None = None,
    device: str = "cpu",
) -> Predictor:
    """A trained model, ready to be asked.

    Args:
        path: a run's folder, a folder written by ``save_pretrained``, or a hub name (owner/model). What begins with
            the name of a folder that is here is a path.
        extractor, weights: see :class:`Predictor`.
        device: cpu or cuda.

    Raises:
        CheckpointError: there is no model, or it is damaged.
        ConfigError: the path is none, or the device cannot be used.
    """
    from transformers.utils.logging import disable_progress_bar

    from twelve.training.run import CONFIG, model_folder, open_run

    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ConfigError(f"this is no path of a model: {describe(path)}", remedy="name a run folder")
    disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = Path(path).expanduser()
    if not folder.exists():
        if "/" not in str(path):
            remedy = "name a run folder, a folder written by save_pretrained, or a hub name (owner/model)"
            raise CheckpointError("no such folder", file=str(path), remedy=remedy)
        folder = resolve(path, *_FILES)
    if (folder / CONFIG).is_file():
        open_run(folder)  # makes the run's own tasks known
    found = model_folder(folder)
    model = Twelve.from_pretrained(found)
    return Predictor(model, TwelveProcessor.from_pretrained(found), extractor=extractor, weights=weights, device=device)
