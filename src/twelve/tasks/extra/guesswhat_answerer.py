"""GuessWhat?!'s answerer: a yes-no question about a given object; the answer can be N/A (de Vries et al. 2017).

The files are those of guesswhat.py. The question is about the game's object, of which only the box is given, not the
category; the model replies from that box's region (outputs/reply.py). The original's loader omitted the object, so its
model could only guess what the question was about.

There is no official result format. :meth:`GuessWhatAnswerer.score` reads one JSON object, from game ids to the answers
to the game's questions, in order::

    {"5": ["Yes", "No", "N/A"], ...}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import describe
from twelve.formats.results import complete, known, only, passed_over, read_mapping, written_like
from twelve.metrics.guesswhat import SUCCESS, counts
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.shared import SourceOf, accuracy_by_class, means_by_class, some, values
from twelve.tasks.guesswhat import (
    ALL,
    ANSWERS,
    PAGE,
    GuessWhat,
    games,
    games_file,
    games_source,
    image_of_game,
    turns,
)
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol, Scored

_RESULT = '"5": ["Yes", "No", "N/A"] (game, answers to its questions in order), in one JSON object'


@register
class GuessWhatAnswerer(Task):
    """All games are read; only questions of successful games are measured."""

    name: ClassVar[str] = "guesswhat_answerer"
    title: ClassVar[str] = "GuessWhat?! answerer"
    output: ClassVar[str] = "reply"
    kind: ClassVar[str] = "reply"
    token: ClassVar[int] = 14
    source: ClassVar[str] = "coco"
    extra: ClassVar[bool] = True
    has_candidates: ClassVar[bool] = True
    page: ClassVar[str] = PAGE
    note: ClassVar[str] = "one question and the object's box, not its category"
    defaults: ClassVar[Defaults] = Defaults(batch_size=256, learning_rate=4e-5, max_text=25)
    result_file: ClassVar[str] = "guesswhat.{split}.answers.json"
    file_names: ClassVar[Mapping[str, str]] = GuessWhat.file_names
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("valid",)}
    scoring_protocols: ClassVar[Mapping[str, str]] = {
        SUCCESS: "questions of games whose questioner found the object, as in the official code",
        ALL: "questions of all games, whatever their outcome",
    }

    @property
    def folder(self) -> str:
        return GuessWhat.name

    def input_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        return (games_source(root, self.folder, *self.files(split)),)

    def truth_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        return self.input_files(root, split)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        """The compressed file is read if both it and the uncompressed one exist."""
        path = games_file(root, self.folder, *self.files(split))
        return some(list(read_questions(path, lambda file: root.image_source(self, file))), path, split)

    def image_sizes(self, root: DataRoot, split: str) -> Iterator[tuple[str, tuple[int, int]]]:
        return GuessWhat().image_sizes(root, split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        return self.measure_by(self.protocol(self.test_split), examples, predictions)

    def measure_by(self, protocol: Protocol, examples: Sequence[Example], predictions: Any) -> Measurement:
        """Predictions for questions of games that do not count are ignored."""
        every = protocol.name == ALL
        rows = [row for row, example in enumerate(examples) if every or counts(example.facts["status"])]
        if not rows:
            raise DataError(f"no game has status {SUCCESS!r}", remedy="measure on another split")
        given = values(examples, predictions)
        return _measured([examples[row] for row in rows], [given[row] for row in rows], rows)[0]

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """Games that do not count and games without questions need no answers."""
        asked: dict[str, list[Example]] = {}
        for example in read_questions(only(truth, self.files("test")[0]), lambda name: self.source):
            asked.setdefault(example.facts["game"], []).append(example)
        counted = {k: own for k, own in asked.items() if protocol == ALL or counts(own[0].facts["status"])}
        path = only(predictions, "the JSON object of answers")
        with written_like(path, _RESULT):
            answers = {game: _answers(value, path, game) for game, value in read_mapping(path).items()}
        known({game for game, own in answers.items() if own}, asked, path, "game")
        complete(counted, answers, path, "game", "games that count")
        for game, own in counted.items():
            if len(answers[game]) != len(own):
                raise DataError(
                    f"expected {len(own)} answers, one per question, found {len(answers[game])}",
                    file=path,
                    record=f"game {game}",
                    remedy="answer every question of the game, in the file's order",
                )
        given = [answer for game in counted for answer in answers[game]]
        examples = [example for own in counted.values() for example in own]
        measurement, sizes = _measured(examples, given)
        others = sum(bool(own) and game not in counted for game, own in answers.items())
        return Scored(
            measurement,
            "three-way accuracy (the official code's error is 100 minus accuracy)",
            sizes,
            notes=passed_over(others, "for games that do not count"),
            means=means_by_class(examples, _labels(examples), measurement),
        )

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """The format that :meth:`score` reads."""
        found: dict[str, list[str]] = {}
        for example, value in zip(examples, values(examples, predictions), strict=True):
            found.setdefault(example.facts["game"], []).append(value)
        return json.dumps(found, indent=0)


def _measured(
    examples: Sequence[Example], given: Sequence[str], rows: Sequence[int] | None = None
) -> tuple[Measurement, dict[str, int]]:
    """The measurement, and the number of questions behind each metric."""
    return accuracy_by_class(examples, _labels(examples), given, ANSWERS, rows, error=True)


def _labels(examples: Sequence[Example]) -> list[str]:
    return [str(example.target) for example in examples]


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
    """One example per question, in file order, for either layout; its id is game#question. The only candidate is
    the game's object. Target: the answer.

    Raises:
        DataError: a line is malformed, an answer is outside :data:`ANSWERS`, or a game's id occurs twice.
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
