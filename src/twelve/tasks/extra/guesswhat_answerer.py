"""GuessWhat?!'s answerer: is it yes, no or not applicable, asked about a given object (de Vries et al. 2017).

The files are those of guesswhat.py. What is asked about is the game's object, whose box is given and nothing else of
it: not its category. The model's reply is read at that box's region (outputs/reply.py). The original's loader left the
object out, so that its model could only guess what was asked about.

There is no official result format. Read is one JSON object, from each game's id to the answers to its questions in
their order::

    {"5": ["Yes", "No", "N/A"], ...}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import describe
from twelve.formats.results import complete, known, only, passed_over, read_mapping, written_like
from twelve.metrics import classes as metric
from twelve.metrics.guesswhat import SUCCESS, counts
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.shared import SourceOf, some, unknown_split, values
from twelve.tasks.guesswhat import (
    ALL,
    ANSWERS,
    PAGE,
    SPLITS,
    GuessWhat,
    games,
    games_file,
    games_source,
    image_of_game,
    turns,
)
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol, Scored

_RESULT = '"5": ["Yes", "No", "N/A"] (game and the answers to its questions in their order), in one JSON object'


@register
class GuessWhatAnswerer(Task):
    """Questions of games of any outcome are read, those of games that succeeded are measured."""

    name: ClassVar[str] = "guesswhat_answerer"
    title: ClassVar[str] = "GuessWhat?! answerer"
    output: ClassVar[str] = "reply"
    kind: ClassVar[str] = "reply"
    token: ClassVar[int] = 14
    source: ClassVar[str] = "coco"
    extra: ClassVar[bool] = True
    gives_boxes: ClassVar[bool] = True
    page: ClassVar[str] = PAGE
    defaults: ClassVar[Defaults] = Defaults(batch_size=256, learning_rate=4e-5, max_text=25)
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("valid",)}
    scoring_protocols: ClassVar[Mapping[str, str]] = {
        SUCCESS: "questions of games whose questioner found the object, as the official code",
        ALL: "questions of games of any outcome",
    }

    @property
    def folder(self) -> str:
        return GuessWhat.name

    def files(self, split: str) -> tuple[str, ...]:
        if split not in SPLITS:
            raise unknown_split(self.name, split, SPLITS)
        return GuessWhat().files(split)

    def sources(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        return (games_source(root, self.folder, *self.files(split)),)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        """Of a file that is there both packed and unpacked, the packed one is read."""
        path = games_file(root, self.folder, *self.files(split))
        return some(list(read_questions(path, lambda file: root.image_source(self, file))), path, split)

    def image_sizes(self, root: DataRoot, split: str) -> Iterator[tuple[str, tuple[int, int]]]:
        return GuessWhat().image_sizes(root, split)

    def protocol(self, split: str, *, full: bool = False) -> Protocol:
        note = "one question and the object's given box, not its category; questions of games that succeeded"
        return Protocol(split=split, boxes="given", note=note)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        """Only questions of games that succeeded contribute; the others are read and predicted, and passed over."""
        rows = [row for row, example in enumerate(examples) if counts(example.facts["status"])]
        if not rows:
            raise DataError(f"no game has status {SUCCESS!r}", remedy="measure on another split")
        given = values(examples, predictions)
        return _measured([examples[row] for row in rows], [given[row] for row in rows], rows)[0]

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """Games that do not count, and games without a question, need no answers."""
        asked: dict[str, list[Example]] = {}
        for example in read_questions(only(truth, self.files("test")[0]), lambda name: self.source):
            asked.setdefault(example.facts["game"], []).append(example)
        counted = {k: own for k, own in asked.items() if protocol == ALL or counts(own[0].facts["status"])}
        path = only(predictions, "the JSON object of answers")
        with written_like(path, _RESULT):
            answers = {game: _answers(value, path, game) for game, value in read_mapping(path).items()}
        known({game for game, own in answers.items() if own}, asked, path)
        complete(counted, answers, path, "games that count")
        for game, own in counted.items():
            if len(answers[game]) != len(own):
                raise DataError(
                    f"{len(answers[game])} answers to {len(own)} questions",
                    file=path,
                    record=f"game {game}",
                    remedy="answer every question of the game, in the file's order",
                )
        given = [answer for game in counted for answer in answers[game]]
        measurement, sizes = _measured([example for own in counted.values() for example in own], given)
        others = sum(bool(own) and game not in counted for game, own in answers.items())
        return Scored(
            measurement,
            "three-way accuracy (the official code's error is what is missing to 100)",
            sizes,
            notes=passed_over(others, "of games that do not count"),
        )

    def submission(self, examples: Sequence[Example], predictions: Sequence[Any]) -> str:
        """What :meth:`score` reads (there is no official file of results)."""
        found: dict[str, list[str]] = {}
        for example, value in zip(examples, values(examples, predictions), strict=True):
            found.setdefault(example.facts["game"], []).append(value)
        return json.dumps(found, indent=0)


def _measured(
    examples: Sequence[Example], given: Sequence[str], rows: Sequence[int] | None = None
) -> tuple[Measurement, dict[str, int]]:
    """The numbers, and how many questions each is about."""
    scores = metric.evaluate([str(example.target) for example in examples], given, ANSWERS)
    parts = {f"accuracy, {name}": 100 * share for name, share in scores.per_class.items()}
    measurement = Measurement(
        primary="accuracy",
        metrics={"accuracy": 100 * scores.accuracy, "error": 100 - 100 * scores.accuracy, **parts},
        per_example=np.array(scores.correct, dtype=np.float64),
        groups=[example.group for example in examples],
        rows=rows,
    )
    sizes = {"accuracy": len(examples), "error": len(examples)}
    return measurement, sizes | {f"accuracy, {name}": count for name, count in scores.counts.items()}


def _answers(value: object, path: Path, game: str) -> list[str]:
    place = f"game {game}"
    if not isinstance(value, list):
        raise DataError(f"expected a list of answers, found {describe(value)}", file=path, record=place)
    for answer in value:
        if answer not in ANSWERS:
            found = describe(answer)
            raise DataError(f"an answer must be one of {', '.join(ANSWERS)}, found {found}", file=path, record=place)
    return value


def read_questions(path: Path, source_of: SourceOf) -> Iterator[Example]:
    """One example a question, in file order, of either layout; its id is the game's and the question's place in it,
    from 0. The only candidate is the game's object; target: the answer.

    Raises:
        DataError: a line is malformed, an answer is none of :data:`ANSWERS`, or a game's id occurs twice.
    """
    for key, record, objects in games(path):
        image = image_of_game(record, source_of)
        facts = {"status": record.text("status"), "game": key}
        candidates = (objects[record.integer("object_id")],)
        for place, (question, answer) in enumerate(turns(record)):
            yield Example(
                id=f"{key}#{place}",
                text=question,
                images=(image,),
                target=answer,
                group=image,
                candidates=candidates,
                facts=facts,
            )
