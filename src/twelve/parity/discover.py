"""Finding recordings: which files belong together, and which module compares them.

| files | compared by |
|---|---|
| meta.json, state, inputs and outputs.safetensors | :mod:`.forward`; a pretraining model also by :mod:`.pretraining` |
| retrieval_meta.json, retrieval_inputs and retrieval_outputs.safetensors, beside a model's | :mod:`.retrieval` |
| losses_scores.json, losses_scores.safetensors | :mod:`.losses` |
| dsg.json | :mod:`.stop_and_go` |
| lr_schedule.json | :mod:`.learning_rate` |
| trace.json, batches and params.safetensors | :mod:`.train_trace` |

The last four are also recognized under other names, by the content of their JSON.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from twelve.errors import DataError
from twelve.io.json_file import LARGE, read_or_none

Kind: TypeAlias = Literal["forward", "retrieval", "losses", "stop_and_go", "learning_rate", "train_trace"]

NAMES: dict[str, Kind] = {
    **dict.fromkeys(("meta.json", "state.safetensors", "inputs.safetensors", "outputs.safetensors"), "forward"),
    **dict.fromkeys(
        ("retrieval_meta.json", "retrieval_inputs.safetensors", "retrieval_outputs.safetensors"), "retrieval"
    ),
    **dict.fromkeys(("losses_scores.json", "losses_scores.safetensors"), "losses"),
    "dsg.json": "stop_and_go",
    "lr_schedule.json": "learning_rate",
    **dict.fromkeys(("trace.json", "batches.safetensors", "params.safetensors"), "train_trace"),
}
MODEL_FILES = ("meta.json", "state.safetensors")
"""Retrieval and training traces read these too; alone they are not a recording of a forward pass."""
LARGEST_JSON = 16 * 2**20
"""Maximum size in bytes at which a JSON file of unknown name is opened to recognize it."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording: ``path`` is the folder of a recorded model, or a JSON file."""

    kind: Kind
    path: Path


def discover(path: Path) -> list[Recording]:
    """Find every recording in a folder and its subfolders, or the one that a file belongs to.

    Raises:
        DataError: there is none.
    """
    if path.is_dir():
        found = [recording for folder in _folders(path) for recording in _in_folder(folder)]
    elif path.is_file():
        kind = _kind_of(path)
        found = [] if kind is None else [_recording(kind, path)]
    else:
        raise DataError("no such file or folder", file=path, remedy="name a recording")
    if not found:
        raise DataError(
            "no recording of the original program found here",
            file=path,
            remedy=f"name a folder with one of {', '.join(NAMES)}, or one of these files",
        )
    return found


def _folders(path: Path) -> Iterator[Path]:
    for folder, below, _ in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(folder)


def _in_folder(folder: Path) -> list[Recording]:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    found: dict[Recording, None] = {}
    for file in files:
        kind = _kind_of(file)
        if kind is not None and file.name not in MODEL_FILES:
            found[_recording(kind, file)] = None
    model = folder / "meta.json"
    if not found and ("model_class" in _tree(model) or (folder / "state.safetensors").is_file()):
        found[Recording("forward", folder)] = None
    return list(found)


def _recording(kind: Kind, file: Path) -> Recording:
    """The recording that ``file`` belongs to."""
    if kind in ("forward", "retrieval"):
        return Recording(kind, file.parent)
    if kind == "train_trace" and file.suffix != ".json":
        return Recording(kind, file.with_name("trace.json"))
    return Recording(kind, file.with_suffix(".json"))


def _kind_of(file: Path) -> Kind | None:
    if file.name in NAMES:
        return NAMES[file.name]
    if file.suffix == ".safetensors" and file.with_suffix(".json").is_file():
        kind = _kind_of(file.with_suffix(".json"))
        return kind if kind == "losses" else None
    if file.suffix != ".json" or file.stat().st_size > LARGEST_JSON:
        return None
    tree = _tree(file)
    if {"params", "sequences"} <= tree.keys():
        return "stop_and_go"
    if {"steps", "optimizer", "tasks"} <= tree.keys():
        return "train_trace"
    if isinstance(tree.get("cases"), list):
        return "learning_rate"
    if tree and all(isinstance(part, dict) and "val_score_sum" in part for part in tree.values()):
        return "losses"
    return None


def _tree(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if the file contains anything else."""
    tree = read_or_none(file, most=LARGE)
    return tree if isinstance(tree, dict) else {}
