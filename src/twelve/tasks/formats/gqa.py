"""Readers of GQA's questions and choices (tasks/gqa.py shows records), and the input of its metric."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from twelve.errors import Again, DataError
from twelve.formats.json_streams import read_members
from twelve.formats.records import Record
from twelve.formats.unique import unique
from twelve.metrics import gqa as metric
from twelve.types.examples import Example

MEASURED = "train_balanced"
"""The training split that metrics can be computed on."""


def metrics_of(scores: metric.GQAScores) -> Iterator[tuple[str, float]]:
    """(name, value) of every metric that was measured."""
    names = ("accuracy", "binary", "open", "consistency", "validity", "plausibility", "grounding", "distribution")
    for name in names:
        value = getattr(scores, name)
        if value is not None:
            yield name, value
    for kind in ("structural", "semantic", "words", "steps"):
        for part, (accuracy, _) in getattr(scores, f"per_{kind}").items():
            yield f"accuracy, {kind} {part}", accuracy


def question_of(example: Example) -> metric.GQAQuestion:
    """The metric's view of a question; raises DataError if it was read without, or its answer is not public."""
    question = example.facts.get("question")
    if isinstance(question, metric.GQAQuestion):
        return question
    if example.target is None:
        problem, remedy = "the answer to this question is not public", "measure on another split"
    else:
        problem, remedy = "this question was read for training alone", f"measure on {MEASURED}: its balanced questions"
    raise DataError(problem, record=example.id, remedy=remedy)


def entailments(
    examples: Sequence[Example], questions: Mapping[str, metric.GQAQuestion]
) -> dict[str, Sequence[str]] | None:
    """Balanced question id -> ids it entails; None if some of these are not among the examples."""
    entailed = {example.id: example.facts.get("entailed", ()) for example in examples if questions[example.id].balanced}
    if not any(entailed.values()) or any(other not in questions for others in entailed.values() for other in others):
        return None
    return entailed


def choices_of(examples: Sequence[Example]) -> dict[str, metric.Choices] | None:
    """Question id -> its choices; None if a balanced question has none."""
    found = {example.id: example.facts["choices"] for example in examples if "choices" in example.facts}
    return found if all(example.id in found or not question_of(example).balanced for example in examples) else None


def read_questions(
    paths: Sequence[Path],
    source: str = "vg",
    *,
    choices: Path | None = None,
    entailments: bool = True,
    measured: bool = True,
) -> Iterator[Example]:
    """One example per question, file by file, in order; unlabelled if the answers are not public.

    Questions share equal targets and facts, since millions of questions have few distinct ones.

    Args:
        choices: the questions' file of possible answers.
        entailments: keep entailed questions, which only consistency needs.
        measured: keep what metrics need; otherwise the answer is all that is read of a label.

    Raises:
        DataError: a record is malformed, or a question id occurs twice.
    """
    shared: dict[Hashable, Any] = {}
    possible = {} if choices is None else dict(_read_choices(choices, shared))
    nothing: Mapping[str, Any] = {}
    members = (member for path in paths for member in read_members(path))
    for key, record in unique(members, "this question id occurs twice"):
        image = f"{source}/{record.identifier('imageId')}"
        images = shared.setdefault(("images", image), (image,))
        target, facts = _label(record, shared, measured) if "answer" in record.fields else (None, nothing)
        extra: dict[str, Any] = {}
        if entailments and target is not None and record.items("entailed"):
            extra["entailed"] = tuple(other for other in record.strings("entailed") if other != key)
        if key in possible:
            extra["choices"] = possible[key]
        yield Example(
            id=key,
            text=record.text("question"),
            images=images,
            target=target,
            group=images[0],
            facts={**facts, **extra} if extra else facts,
        )


def _label(
    record: Record, shared: dict[Hashable, Any], measured: bool
) -> tuple[Mapping[str, float], Mapping[str, Any]]:
    """Target and facts of a labelled question; equal ones are the same objects."""
    answer = record.text("answer")
    target = shared.get(("target", answer))
    if target is None:
        answer = sys.intern(answer)
        target = shared["target", answer] = {answer: 1.0}, {"label": answer}
    if not measured:
        return target
    types, groups = record.record("types"), record.record("groups")
    structural, semantic, detailed = (types.text(kind) for kind in ("structural", "semantic", "detailed"))
    group = None if groups.fields[groups.one_of("global")] is None else groups.text("global")
    steps = metric.count_steps([(step.text("operation"), step.text("argument")) for step in record.records("semantic")])
    balanced = record.flag("isBalanced")
    known = (answer, structural, semantic, detailed, group, steps, balanced)
    if known not in shared:
        question = metric.GQAQuestion(
            answer=sys.intern(answer),
            structural=sys.intern(structural),
            semantic=sys.intern(semantic),
            detailed=sys.intern(detailed),
            group=None if group is None else sys.intern(group),
            steps=steps,
            balanced=balanced,
        )
        shared[known] = {"label": question.answer, "question": question}
    return target[0], shared[known]


def choice_keys(path: Path) -> Iterator[str]:
    """The question ids of a choices file, whose records are checked one by one.

    Raises:
        DataError: a record is malformed, or the file is empty.
    """
    return (key for key, _, _ in _choices(path))


def _read_choices(path: Path, shared: dict[Hashable, Any]) -> Iterator[tuple[str, metric.Choices]]:
    for key, valid, plausible in _choices(path):
        known = tuple(valid), tuple(plausible)
        if known not in shared:
            shared[known] = metric.Choices(*(tuple(map(sys.intern, answers)) for answers in known))
        yield key, shared[known]


def _choices(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """(question id, valid answers, plausible answers); raises as :func:`choice_keys`."""
    key = None
    for key, record in read_members(path):
        yield key, record.strings("valid"), record.strings("plausible")
    if key is None:
        raise DataError("contains no choices", file=path, remedy=Again("download the file again, or move it away"))
