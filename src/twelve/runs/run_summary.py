"""The summary of a finished run, for its folder and for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twelve.training.memory import need_of

if TYPE_CHECKING:
    from twelve.training.trainer import Trainer

RELIABLE = 50
"""Validation examples below which the choice of a model is doubtful, as is the calibration of its scores."""


def history(trainer: Trainer) -> dict[str, Any]:
    """Length, batches and examples of each task, updates, memory, validation scores of the saved model, and events of a
    run."""
    streams, need = trainer.streams, need_of(trainer)
    batches = {name: each.epoch * each.batches_per_epoch + each.number for name, each in streams.items()}
    return {
        "iterations": trainer.state.iteration,
        "batches": batches,
        "examples": {name: count * streams[name].batch_size for name, count in batches.items()},
        "steps": trainer.state.steps,
        "memory": {"lasting": need.parameters + need.lasting, "activations": need.activations},
        "seconds": round(trainer.state.seconds, 1),
        "before": trainer.state.before,
        "kept": trainer.state.kept,
        "events": trainer.log.events(),
    }


def kept(trainer: Trainer) -> list[str]:
    """A line that says which iteration's model the run has kept; none if the log does not tell."""
    state, latest = trainer.state, dict[str, float]()
    chosen = {name: round(score, 5) for name, score in state.kept.items()}  # as the log has them
    for line in trainer.run.logged():
        if line.get("kind") != "validation" or not line.get("iteration"):
            continue
        latest[str(line.get("task"))] = line.get("score", 0.0)
        if latest == chosen:
            break
    else:
        return []
    mean = "validation score" if len(chosen) == 1 else "mean validation score"
    last = f", {100 * sum(state.scores.values()) / len(state.scores):.1f} at the end" if state.scores else ""
    fewest = min(trainer.data.tasks.values(), key=lambda task: len(task.validation))
    few = len(fewest.validation)
    doubt = f"; {few} validation examples are too few to choose reliably" if few < RELIABLE else ""
    return [f"kept: the model of iteration {line['iteration']:,} ({mean} {100 * state.best:.1f}{last}{doubt})"]


def remembered(trainer: Trainer) -> list[str]:
    """One line for each task of an earlier run: its validation score before the first step and now."""
    state = trainer.state
    names = [name for name in state.before if name in state.kept]
    lines = ["tasks of the earlier run, validation scores of 100:"] if names else []
    for name in names:
        before, after = 100 * state.before[name], 100 * state.kept[name]
        replayed = ", replayed" if name in trainer.config.replay else ""
        title = trainer.data.tasks[name].task.title
        lines.append(f"  {title}: {before:.1f} before, {after:.1f} now ({after - before:+.1f}{replayed})")
    return lines
