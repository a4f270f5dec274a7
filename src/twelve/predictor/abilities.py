"""The questions that a model can answer, read from its folder: checks that need neither network nor torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twelve.errors import ConfigError, InputError, nearest
from twelve.formats.records import describe
from twelve.io.invalid import beginning
from twelve.model.processor import TwelveProcessor
from twelve.outputs import OUTPUTS
from twelve.predictor.checks import Turn, check_shape, check_text, turns_of
from twelve.predictor.synthetic import note_for
from twelve.predictor.warnings import words_of
from twelve.tasks.base import Task, all_tasks
from twelve.types.examples import Box

_ASKED = {"locate": "phrase", "entails": "statement", "verify": "statement", "match": "caption"}
"""Method -> what its text is called; of other methods, a question."""


class UnknownTask(InputError):
    """A model has no task of this name."""


def check_head(name: str, heads: Mapping[str, object], run: str | Path) -> None:
    """Raise ConfigError if a model has no head of this name; names its folder ``run``."""
    if name == "contrast":
        raise ConfigError(
            "the contrast head is not exported: its vectors are those of a text or an image, not of a pair",
            file=run,
            remedy=f"export one of {', '.join(heads) or 'none'}, or make shortlists with twelve match",
        )
    if name not in heads:
        raise ConfigError(
            f"the model has no output {name!r}{nearest(name, heads)}",
            file=run,
            remedy=f"it has {', '.join(heads) or 'none'}",
        )


class Abilities:
    """The questions that a model can answer.

    Args:
        heads: ``heads`` of the model's configuration.
        own: the tasks that the run defines itself.

    Attributes:
        processor, heads: as saved.
        own: the run's own tasks.
        methods: method -> its tasks; the first is the default.
        titles: task -> its readable name.
    """

    def __init__(
        self,
        processor: TwelveProcessor,
        heads: Mapping[str, Mapping[str, Any]],
        own: Mapping[str, Task] | None = None,
    ) -> None:
        self.processor, self.heads, self.own = processor, heads, own or {}
        self.methods: dict[str, list[str]] = {}
        known = all_tasks(own)
        self.titles = {name: known[name].title if name in known else name for name in processor.task_outputs}
        for name, key in processor.task_outputs.items():
            kind = heads[key]["kind"] if key in heads else None
            task = known.get(name)
            chosen = task.method if task is not None and task.kind == kind else ""
            output = OUTPUTS.get(str(kind))
            for method in (chosen,) if chosen else output.methods[:1] if output is not None else ():
                self.methods.setdefault(method, []).append(name)

    @property
    def note(self) -> str | None:
        """A sentence that says which tasks the model was trained for on synthetic images only, not on photographs; None
        if there are none, or this is not known."""
        return note_for(self.processor, self.titles)

    def calibrated(self, task: str) -> bool:
        """Whether training has calibrated the confidence of a task."""
        return task in self.processor.temperatures

    def names_its_task(self, method: str) -> bool:
        """Whether it is not obvious which task answers: the method has several, or the last training left tasks out."""
        return len(self.methods.get(method, ())) > 1 or bool(self.processor.left_out)

    def task_for(self, method: str, task: str | None = None) -> str:
        """The task of a method; ``task`` selects one of several.

        Raises:
            InputError: the model has no task for the method, or no task of this name (:class:`UnknownTask`).
        """
        able = self.methods.get(method, [])
        if not able:
            raise InputError(
                f"this model has no task for {method}; it has: {', '.join(self.methods) or 'none'}",
                remedy="use one of these methods, or train a model on such a task",
            )
        if task is None:
            return able[0]
        if not isinstance(task, str):
            raise InputError(
                f"expected the name of a task, found {describe(task)}", remedy=f"choose among {', '.join(able)}"
            )
        if task in able:
            return task
        raise UnknownTask(
            f"this model has no task {task!r} for {method}{nearest(task, able)}",
            remedy=f"choose among {', '.join(able)}",
        )

    def check(
        self,
        method: str,
        text: str | Iterable[Turn],
        *,
        task: str | None = None,
        boxes: Sequence[Box] = (),
        threshold: float | None = None,
        images: int | None = None,
    ) -> None:
        """Check a question before its images are opened.

        Args:
            images: number of images; None to skip this check.

        Raises:
            InputError: as :meth:`question`, or :meth:`match` with one caption.
        """
        self.task_for(method, task)
        check_shape(method, len(boxes) > 0, threshold, images)
        for each in [question for question, _ in turns_of(text)] if method == "guess" else [text]:
            self.check_words(each, _ASKED.get(method, "question"))

    def check_words(self, text: object, called: str = "text") -> None:
        """Raise InputError if a text is not a string, or has no words. Symbols that the model does not know, such as
        pictograms, are words: results warn of them. ``called`` is the name of the text in the error, such as question.
        """
        check_text(text)
        assert isinstance(text, str)
        if not text.strip():
            raise InputError(f"the {called} is empty", remedy=f"write a {called}")
        pieces = set(self.processor.tokenizer.encode(text, add_special_tokens=False).ids)
        if not pieces - {self.processor.special[token] for token in ("[PAD]", "[CLS]", "[SEP]")}:
            raise InputError(f"this {called} has no words: {beginning(text)}", remedy=f"write a {called} with words")
        if not any(mark.isalnum() for mark in text) and not words_of(self.processor, text):
            problem = f"this {called} has no letter and no digit: {beginning(text)}"
            raise InputError(problem, remedy=f"write a {called} with words")
