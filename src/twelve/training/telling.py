"""How a run went, for its folder and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twelve.data.records import finite
from twelve.data.root import DRAWN
from twelve.jsonfile import read_or_none
from twelve.model.card import origin_of_run, write_card

if TYPE_CHECKING:
    from twelve.evaluation.evaluate import Result
    from twelve.model.processor import TwelveProcessor
    from twelve.model.vilbert import Twelve
    from twelve.training.trainer import Trainer


def history(trainer: Trainer) -> dict[str, Any]:
    """How a run went: its length, each task's batches, the scores of what is in model/, and who stopped when."""
    return {
        "iterations": trainer.iteration,
        "batches": {
            name: stream.epoch * stream.batches_per_epoch + stream.number for name, stream in trainer.streams.items()
        },
        "seconds": round(trainer.seconds, 1),
        "before": trainer.before,
        "kept": trainer.kept,
        "events": trainer.log.events(),
    }


def remembered(trainer: Trainer) -> list[str]:
    """The scores, on the carved split, of what the model had learnt before: before the first step and now."""
    names = [name for name in trainer.before if name in trainer.kept]
    lines = ["learnt before, of 100 on the pictures that training looks at:"] if names else []
    for name in names:
        before, after = 100 * trainer.before[name], 100 * trainer.kept[name]
        replayed = ", replayed" if name in trainer.config.replay else ""
        title = trainer.data.tasks[name].task.title
        lines.append(f"  {title}: {before:.1f} before, {after:.1f} now ({after - before:+.1f}{replayed})")
    return lines


def write_run_card(
    folder: Path,
    model: Twelve,
    processor: TwelveProcessor,
    looks: Mapping[str, float],
    results: Sequence[Result] = (),
    machine: str = "",
) -> None:
    """Write the card of a run's model, with its results once it has been measured.

    Args:
        looks: what it scored when it was saved, see :class:`twelve.model.card.Origin`.
    """
    from twelve.runs import model_folder, open_run

    config = open_run(folder)
    origin = origin_of_run(
        _read_json(folder / "data.json"),
        drawn=(Path(config.data) / DRAWN).is_file(),
        began=config.model.init,
        looks=looks,
        results=results,
        machine=machine,
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    write_card(model_folder(folder), model.config, processor, origin, parameters)


def kept_looks(folder: Path) -> dict[str, float]:
    """What a run's model scored when it was saved, on the carved split, 0..1; nothing where that is not known."""
    from twelve.training.run import TRAINED

    kept = _read_json(folder / TRAINED).get("kept")
    return {name: score for name, score in kept.items() if finite(score)} if isinstance(kept, dict) else {}


def _read_json(path: Path) -> dict[str, Any]:
    """What a run says of itself for people; nothing where that is lost."""
    tree = read_or_none(path)
    return tree if isinstance(tree, dict) else {}
