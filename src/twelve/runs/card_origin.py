"""How a model was made, for its card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twelve.evaluation.results import TaskResult


@dataclass(frozen=True, slots=True)
class Origin:
    """How a model was made.

    Attributes:
        words: one or two sentences.
        drawn: whether its data are a microworld.
        data: task -> what it was trained on, in words.
        validations: task -> validation score when the model was saved, 0..1.
        results: its evaluation.
        machine: the processor that evaluated it.
        source: what twelve.load opens.
        licence: of the weights, an identifier of the hub; None for Apache-2.0 if ``drawn``, else "other".
    """

    words: str
    drawn: bool = False
    data: Mapping[str, str] = field(default_factory=dict)
    validations: Mapping[str, float] = field(default_factory=dict)
    results: Sequence[TaskResult] = ()
    machine: str = ""
    source: str = "PATH OF THIS FOLDER"
    licence: str | None = None


def origin_of_run(
    data: Mapping[str, Any],
    *,
    drawn: bool,
    began: str | None,
    seen: Iterable[str] = (),
    validations: Mapping[str, float],
    results: Sequence[TaskResult] = (),
    machine: str = "",
) -> Origin:
    """The origin of a model that a run trained.

    Args:
        data: what the run trained on, as its folder has it.
        drawn: whether its data root is a microworld.
        began: the saved model that it continued from.
        seen: sentences on test images that this one was trained on.
        validations: see :class:`Origin`.
    """
    tasks = {name: part for name, part in data.get("tasks", {}).items() if isinstance(part, dict)}
    kind = "synthetic examples" if drawn else "examples"
    trained = {name: f"{part['train']:,} {kind}" for name, part in tasks.items()}
    if began is None and len(tasks) > 1:
        words = "One model, trained on all of these tasks together."
    else:
        words = f"Trained on {', '.join(tasks)}{' alone' if len(tasks) == 1 else ''}."
    words += " Images that any of the tasks is evaluated on were removed from the training sets of all tasks."
    if began is not None:
        words += f" It continued from the model `{_name_of(Path(began))}`."
    words += "".join(f" {each}." for each in seen)
    if not results:
        words += " It has not been evaluated yet: `twelve evaluate` puts its scores here, beside the best baseline."
    return Origin(words, drawn, trained, validations, results, machine)


def _name_of(base: Path) -> str:
    """The name of a base model's folder, without the path on this machine; of ``quickstart/run``, both parts."""
    return "/".join(base.parts[-2:]) if base.name in ("run", "model") else base.name
