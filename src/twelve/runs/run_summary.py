"""How a run went, for its folder and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    """The scores, on the validation split, of what the model had learnt before: before the first step and now."""
    names = [name for name in trainer.before if name in trainer.kept]
    lines = ["learnt before, of 100 on the images that training validates on:"] if names else []
    for name in names:
        before, after = 100 * trainer.before[name], 100 * trainer.kept[name]
        replayed = ", replayed" if name in trainer.config.replay else ""
        title = trainer.data.tasks[name].task.title
        lines.append(f"  {title}: {before:.1f} before, {after:.1f} now ({after - before:+.1f}{replayed})")
    return lines
