"""Scoring of GQA result files (gqa.py), in the format of its eval.py and leaderboard::

    [{"questionId": "201307251", "prediction": "white"}, ...]

For grounding, a second file has the model's attention over a map of 7x7 cells, by columns::

    [{"questionId": "201307251", "attention": [[0.01, 0.02, ...], ...]}, ...]

The scene graphs are a JSON object, of which grounding reads the boxes (x, y, w, h in pixels)::

    "2375429": {"width": 640, "height": 480, "objects": {"1058498": {"name": "fence", "x": 0, "y": 9, "w": 300, ...}}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from twelve.errors import Again, DataError
from twelve.formats.json_streams import read_elements, read_members
from twelve.formats.records import FURTHEST, Record, finite
from twelve.formats.results import by_id, complete, one, passed_over, written_like
from twelve.metrics import gqa as metric
from twelve.tasks.formats.gqa import choices_of, entailments, metrics_of, question_of, read_questions
from twelve.types.examples import Example
from twelve.types.measurement import ExampleValues, Measurement, Scored

_RESULT = '{"questionId": "201307251", "prediction": "white"}, in one JSON list'
_ATTENTION = '{"questionId": "201307251", "attention": [[0.1, ...], ...]}, a square map in one JSON list'
_KINDS = {"questions": "question", "choices": "plausible", "scene graphs": "objects"}
"""Kind of official file -> a field of each of its records."""
_REMEDY = "pass testdev_balanced_questions.json or the question file of another split with public answers"
_NOTES = {
    "consistency": "consistency is left out: it needs the file of all questions and predictions for them",
    "validity": "validity and plausibility are left out: they need the split's choices file",
    "grounding": "grounding is left out: it needs the scene graphs, and the attentions as second predictions file",
}


def score(truth: Sequence[Path], predictions: Sequence[Path], source: str) -> Scored:
    """See :meth:`twelve.tasks.gqa.GQA.score`."""
    files = _kinds(truth)
    if not files["questions"]:
        raise DataError("no question file among the truth", file=truth[0], remedy=_REMEDY)
    choices = one(files, "choices", truth[0], "pass the file of one split") if files["choices"] else None
    examples = list(read_questions(files["questions"], source, choices=choices))
    if choices is not None and not any("choices" in example.facts for example in examples):
        problem = f"contains the choices of none of the {len(examples):,} questions: it is of another split"
        raise DataError(problem, file=choices, remedy="pass that of the questions' split, or leave it out")
    questions = {example.id: question_of(example) for example in examples}
    texts = {example.id: example.text for example in examples}
    balanced = [example for example in examples if questions[example.id].balanced]
    path = predictions[0]
    predicted = _answers(path)
    complete([example.id for example in balanced], predicted, path, "question", "balanced questions")
    entailed = _entailed(examples, questions, predicted)
    if entailed is not None:
        others = {other: None for key in entailed for other in entailed[key]}
        complete(others, predicted, path, "question", "entailed questions, which consistency needs,")
    regions, attentions = None, None
    if files["scene graphs"] and len(predictions) > 1:
        scenes = one(files, "scene graphs", truth[0], "pass the file of one split")
        attentions = _attentions(predictions[1])
        complete([example.id for example in balanced], attentions, predictions[1], "question", "balanced questions")
        regions = _regions(files["questions"], scenes)
    scores = metric.evaluate(
        questions,
        texts,
        predicted,
        entailed=entailed,
        choices=choices_of(examples),
        regions=regions,
        attentions=attentions,
    )
    group_of = {example.id: example.group for example in balanced}
    each = np.array(list(scores.correct.values()), dtype=np.float64)
    whole = ExampleValues(list(scores.correct), each, [group_of[key] for key in scores.correct])
    means = {name: replace(whole, values=np.array(values, dtype=np.float64)) for name, values in scores.each.items()}
    means |= {"accuracy": whole, **whole.parts([_parts(questions[key], texts[key]) for key in scores.correct])}
    notes = [note for name, note in _NOTES.items() if getattr(scores, name) is None]
    return Scored(
        Measurement("accuracy", dict(metrics_of(scores)), each, whole.groups),
        "exact answers to balanced questions, without normalization; distribution: chi squared / 100, lower is better",
        {name: len(part.ids) for name, part in means.items()} | _others(scores, questions, entailed),
        notes=notes + passed_over(sum(key not in questions for key in predicted), "for other questions"),
        means=means,
    )


def balanced_questions(truth: Sequence[Path], source: str) -> list[Example]:
    """The balanced questions of the official files, in file order.

    Raises:
        DataError: there is no question file, or one is malformed.
    """
    files = _kinds(truth)["questions"]
    if not files:
        raise DataError("no question file among the truth", file=truth[0], remedy=_REMEDY)
    return [example for example in read_questions(files, source) if question_of(example).balanced]


def _kinds(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Kind -> the official files of that kind."""
    found: dict[str, list[Path]] = {kind: [] for kind in _KINDS}
    for path in paths:
        key, first = next(read_members(path), (None, None))
        kind = next((kind for kind, field in _KINDS.items() if first is not None and field in first.fields), None)
        if kind is None:
            raise DataError(
                "expected questions, choices or scene graphs, found none of them", file=path, record=key, remedy=_REMEDY
            )
        found[kind].append(path)
    return found


def _answers(path: Path) -> dict[str, str]:
    with written_like(path, _RESULT):
        records = by_id(read_elements(path), lambda record: record.text("questionId"), "question")
        return {key: record.text("prediction") for key, record in records.items()}


def _attentions(path: Path) -> dict[str, metric.Attention]:
    with written_like(path, _ATTENTION):
        records = by_id(read_elements(path), lambda record: record.text("questionId"), "question")
        return {key: _map(record) for key, record in records.items()}


def _map(record: Record) -> metric.Attention:
    columns = record.items("attention")
    if not columns:
        raise record.error("field 'attention' must be a square map, found an empty list")
    for column in columns:
        if not isinstance(column, list) or len(column) != len(columns):
            raise record.error(
                f"field 'attention' must be a square map, found columns of lengths other than {len(columns)}"
            )
        if not all(map(finite, column)):
            raise record.error("field 'attention' must hold finite numbers")
    return columns


def _entailed(
    examples: Sequence[Example], questions: Mapping[str, metric.GQAQuestion], predicted: Mapping[str, str]
) -> dict[str, Sequence[str]] | None:
    """Entailed questions for consistency; None if the truth lacks some of them, or if only balanced questions were
    predicted."""
    entailed = entailments(examples, questions)
    if any(key in questions and not questions[key].balanced for key in predicted):
        return entailed
    needed = {other for others in (entailed or {}).values() for other in others}
    return entailed if all(other in predicted for other in needed) else None


def _regions(questions: Sequence[Path], scenes: Path) -> dict[str, list[metric.Region]]:
    """Balanced question id -> boxes that the question and its full answer refer to, as fractions of the image."""
    things = read_scenes(scenes)
    found = {}
    for path in questions:
        for key, record in read_members(path):
            if not record.flag("isBalanced"):
                continue
            image, notes = record.text("imageId"), record.record("annotations")
            named = [notes.record(part) for part in ("question", "fullAnswer")]
            ids = [part.text(word) for part in named for word in part.fields]
            if image not in things or any(thing not in things[image] for thing in ids):
                raise record.error(
                    f"{scenes.name} lacks image {image} or an object of it", "pass the scene graphs of this split"
                )
            found[key] = [things[image][thing] for thing in ids]
    return found


def read_scenes(scenes: Path) -> dict[str, dict[str, metric.Region]]:
    """Image -> object -> its box (x1, y1, x2, y2 as fractions of the image), from a scene graph file.

    Raises:
        DataError: a record is malformed, an image occurs twice, or the file is empty.
    """
    things: dict[str, dict[str, metric.Region]] = {}
    for image, scene in read_members(scenes):
        wide, high = scene.integer("width"), scene.integer("height")
        if wide < 1 or high < 1:
            raise scene.error(f"expected a positive image size, found {wide}x{high}")
        if image in things:
            raise scene.error("this image occurs twice")
        things[image] = {}
        objects = scene.record("objects")
        for key in objects.fields:
            x, y, w, h = box = tuple(objects.record(key).integer(name) for name in ("x", "y", "w", "h"))
            if w < 0 or h < 0 or max(map(abs, box)) > FURTHEST:
                raise objects.record(key).error(f"expected a box inside the image, found {w}x{h} pixels at {x}, {y}")
            things[image][key] = (x / wide, y / high, (x + w) / wide, (y + h) / high)
    if not things:
        raise DataError(
            "contains no scene graphs", file=scenes, remedy=Again("download the file again, or move it away")
        )
    return things


def _parts(question: metric.GQAQuestion, text: str) -> tuple[str, ...]:
    """Names of the accuracies that a question is part of, besides that of all."""
    kinds = {
        "structural": question.structural,
        "semantic": question.semantic,
        "words": len(text.split()),
        "steps": question.steps,
    }
    answer = "open" if question.structural == metric.OPEN else "binary"
    return answer, *(f"accuracy, {kind} {part}" for kind, part in kinds.items())


def _others(
    scores: metric.GQAScores, questions: Mapping[str, metric.GQAQuestion], entailed: Mapping[str, Sequence[str]] | None
) -> dict[str, int]:
    """Name of a metric that is no mean over examples -> number of balanced questions it covers."""
    counts = {"distribution": sum(questions[key].group is not None for key in scores.correct)}
    follow = {key for key, others in (entailed or {}).items() if {*others} - {key}}
    return counts | {"consistency": sum(right and key in follow for key, right in scores.correct.items())}
