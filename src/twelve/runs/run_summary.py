"""The summary of a finished run, for its folder and for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twelve.formats.records import finite
from twelve.progress import with_sign
from twelve.training.kept import kept_model
from twelve.training.memory import need_of

if TYPE_CHECKING:
    from twelve.training.trainer import Trainer


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
    state, scores = trainer.state, dict[str, list[tuple[int, float]]]()
    for line in trainer.run.logged():
        if line.get("kind") == "validation" and finite(score := line.get("score", "")):
            scores.setdefault(str(line.get("task")), []).append((line["iteration"], float(score)))
    examples = [len(trainer.validation.examples(name)) for name in trainer.data.tasks]
    asked = trainer.config.training.keep_model == "last"
    found = kept_model(trainer.data.tasks, scores, state.kept, examples, last=asked)
    if found is None:
        return []
    last = 100 * sum(state.scores.values()) / len(state.scores)
    return [found.sentence + (f" The last one has {last:.1f}." if found.iteration < state.iteration else "")]


def remembered(trainer: Trainer) -> list[str]:
    """One line for each task of an earlier run: its validation score before the first step and now."""
    state = trainer.state
    names = [name for name in state.before if name in state.kept]
    lines = ["tasks of the earlier run, validation scores (0 to 100):"] if names else []
    for name in names:
        before, after = 100 * state.before[name], 100 * state.kept[name]
        replayed = ", replayed" if name in trainer.config.replay else ""
        title = trainer.data.tasks[name].task.title
        lines.append(f"  {title}: {before:.1f} before, {after:.1f} now ({with_sign(after - before)}{replayed})")
    return lines
