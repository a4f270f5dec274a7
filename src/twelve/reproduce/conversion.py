"""The released model as a run's folder, which every command opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from twelve import config as configuration
from twelve.model.processor import TwelveProcessor
from twelve.reproduce import needs
from twelve.reproduce.folders import Folders
from twelve.runs.convert import TOKENIZER, convert

PRECISION = "fp32"
"""Of the evaluation: that of the original program."""


def inputs(folders: Folders, labels: Mapping[str, Path], extract: bool) -> dict[str, Path]:
    """Role -> file that the model is made from.

    Args:
        labels: output -> file with the names of its answers; others are looked for among the released files.
    """
    root = folders.root
    found: dict[str, Path | None] = {
        "weights": needs.released(root, needs.MODEL),
        "configuration": needs.released(root, needs.CONFIG),
        "word pieces": needs.released(root, needs.VOCABULARY),
        "detector": needs.released(root, needs.DETECTOR) if extract else None,
    }
    named = {**needs.labels(root, needs.twelve_tasks().values()), **labels}
    found |= {f"labels {output}": file for output, file in named.items()}
    return {role: file for role, file in found.items() if file is not None}


def make(folders: Folders, files: Mapping[str, Path]) -> None:
    """Convert the model and write the run's configuration.

    Args:
        files: those of :func:`inputs`.

    Raises:
        CheckpointError, ConfigError, DataError: see :func:`twelve.runs.convert.convert`.
    """
    named = {role.removeprefix("labels "): file for role, file in files.items() if role.startswith("labels ")}
    pieces = files.get("word pieces")
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers shows one for every file it writes
    convert(
        files["weights"],
        folders.run.model,
        config=files.get("configuration"),
        tokenizer=TOKENIZER if pieces is None else str(pieces),
        labels=named,
        detector=files.get("detector"),
    )
    tasks = TwelveProcessor.from_pretrained(folders.run.model).task_outputs
    tree = {
        "run": str(folders.run.path),
        **{key: str(path) for key, path in folders.places.items()},
        "tasks": list(tasks),
        "evaluation": {"precision": PRECISION},
    }
    configuration.parse(tree).write(folders.run.config)
