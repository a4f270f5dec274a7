"""The card of a run's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twelve.formats.data_root import DRAWN
from twelve.formats.records import finite
from twelve.io.json_file import read_or_none
from twelve.run_folder import TRAINED, model_folder, open_run
from twelve.runs.card import origin_of_run, write_card
from twelve.tasks.custom import own_tasks

if TYPE_CHECKING:
    from twelve.evaluation.results import TaskResult
    from twelve.model.processor import TwelveProcessor
    from twelve.model.vilbert import Twelve


def write_run_card(
    folder: Path,
    model: Twelve,
    processor: TwelveProcessor,
    validations: Mapping[str, float],
    results: Sequence[TaskResult] = (),
    machine: str = "",
) -> None:
    """Write the card of a run's model, with its results once it has been measured.

    Args:
        validations: what it scored when it was saved, see :class:`twelve.runs.card.Origin`.
    """
    config = open_run(folder)
    origin = origin_of_run(
        _read_json(folder / "data.json"),
        drawn=(Path(config.data) / DRAWN).is_file(),
        began=config.model.init,
        validations=validations,
        results=results,
        machine=machine,
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    write_card(model_folder(folder), model.config, processor, origin, parameters, own_tasks(config.tasks))


def kept_scores(folder: Path) -> dict[str, float]:
    """What a run's model scored when it was saved, on the validation split, 0..1; nothing where that is not known."""
    kept = _read_json(folder / TRAINED).get("kept")
    return {name: score for name, score in kept.items() if finite(score)} if isinstance(kept, dict) else {}


def _read_json(path: Path) -> dict[str, Any]:
    """What a run says of itself for people; nothing where that is lost."""
    tree = read_or_none(path)
    return tree if isinstance(tree, dict) else {}
