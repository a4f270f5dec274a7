"""The card of a run's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.config import load_run
from twelve.formats.data_root import DRAWN
from twelve.formats.records import finite
from twelve.run_folder import RunFolder, model_folder
from twelve.runs.base_images import recorded_in
from twelve.runs.card import write_card
from twelve.runs.card_origin import Origin, origin_of_run
from twelve.tasks.custom import own_tasks

if TYPE_CHECKING:
    from twelve.evaluation.results import TaskResult
    from twelve.model.processor import TwelveProcessor
    from twelve.model.vilbert import Twelve
    from twelve.tasks.base import Task


def write_run_card(
    folder: Path,
    model: Twelve,
    processor: TwelveProcessor,
    validations: Mapping[str, float],
    results: Sequence[TaskResult] = (),
    machine: str = "",
) -> None:
    """Write the card of a run's model, with its results once it has been evaluated.

    Args:
        validations: task -> validation score of the model when it was saved, 0..1.
    """
    origin = origin_of(folder, validations, results, machine)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    write_card(model_folder(folder), model.config, processor, origin, parameters, own_tasks_of(folder))


def own_tasks_of(folder: Path) -> Mapping[str, Task]:
    """The tasks that a run defines itself."""
    return own_tasks(load_run(folder).tasks)


def origin_of(
    folder: Path, validations: Mapping[str, float], results: Sequence[TaskResult] = (), machine: str = ""
) -> Origin:
    """What the card of a run's model says about it; the arguments are those of :func:`write_run_card`."""
    run, config = RunFolder(folder), load_run(folder)
    known = recorded_in(run).sentences({each.task: each.title for each in results})
    return origin_of_run(
        run.read(run.data),
        drawn=(Path(config.data) / DRAWN).is_file(),
        began=config.model.init,
        seen=[sentence for task, sentence in known.items() if task],
        validations=validations,
        results=results,
        machine=machine,
    )


def kept_scores(folder: Path) -> dict[str, float]:
    """Validation scores, 0..1, of a run's model when it was saved; empty where they are not known."""
    run = RunFolder(folder)
    kept = run.read(run.trained).get("kept")
    return {name: score for name, score in kept.items() if finite(score)} if isinstance(kept, dict) else {}
