"""NLVR2: is a sentence true of a pair of photographs (Suhr et al. 2019).

A line of ``dev.json``; the images are ``dev-850-0-img0.png`` (left) and ``dev-850-0-img1.png``::

    {"identifier": "dev-850-0-1", "sentence": "Both images show two otters.", "label": "False", "left_url": "...",
     "right_url": "...", "writer": "61", "validation": {"61": "False"}, "synset": "otter", "query": "otters1"}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twelve.errors import Again, DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_lines
from twelve.formats.results import complete, mended_by, only, passed_over
from twelve.metrics import nlvr2 as metric
from twelve.progress import counted
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.shared import accuracy, example_values, some, values
from twelve.types.examples import Example
from twelve.types.measurement import ExampleValues, Measurement, Scored

_SPLITS = (
    *("train", "dev", "test1", "test2"),
    *("balanced_dev", "balanced_test1", "unbalanced_dev", "unbalanced_test1"),
)
_ANNOTATED = ".txt"
"""Suffix of the files of annotated examples."""


@register
class NLVR2(Task):
    """NLVR2. test1 is the public test set (test-P), test2 was hidden until 2022 (test-U)."""

    name: ClassVar[str] = "nlvr2"
    title: ClassVar[str] = "NLVR2"
    output: ClassVar[str] = "pair"
    kind: ClassVar[str] = "pair"
    token: ClassVar[int] = 12
    source: ClassVar[str] = "nlvr2"
    page: ClassVar[str] = "https://github.com/lil-lab/nlvr/tree/master/nlvr2/data"
    unit: ClassVar[str] = "sentence"
    note: ClassVar[str] = "consistency: sentences judged correctly for all their image pairs"
    defaults: ClassVar[Defaults] = Defaults(batch_size=64, learning_rate=2e-5, max_text=40)
    result_file: ClassVar[str] = "{split}_predictions.csv"
    file_names: ClassVar[Mapping[str, str]] = {split: f"{split}.json" for split in _SPLITS}
    splits: ClassVar[tuple[str, ...]] = _SPLITS
    test_split: ClassVar[str] = "test1"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test1", "test2"), "val": ("dev",)}
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "dev": (6_982, None),
        "test1": (6_967, None),
        "test2": (6_970, None),
    }

    def read(self, root: DataRoot, split: str) -> list[Example]:
        path = root.file(self.folder, *self.files(split), page=self.page)
        return some(list(read_statements(path, root.image_source(self), split.rpartition("_")[2])), path, split)

    def beside(self, root: DataRoot) -> Iterator[tuple[Path, Callable[[Path], object]]]:
        pattern = f"annotated_*{_ANNOTATED}"
        yield from ((path, metric.read_categories) for path in sorted((root.path / self.folder).glob(pattern)))

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        labels = {example.id: str(example.target) for example in examples}
        predicted = dict(zip(labels, map(str, values(examples, predictions)), strict=True))
        scores = metric.evaluate(labels, predicted)
        return accuracy([scores.correct[example.id] for example in examples], examples, _metrics(scores))

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """The truth file with the most examples is measured. Other files can be parts of it (balanced_dev.json), whose
        accuracy is reported too, or annotated examples (.txt), for accuracy by category."""
        whole, examples, others = _whole(truth)
        labels = {key: str(example.target) for key, example in examples.items()}
        path = only(predictions, "the CSV of predictions")
        with mended_by(path, "write one line per example, such as dev-850-0-1,True"):
            predicted = metric.read_predictions(path)
        complete(labels, predicted, path, "example")
        scores = metric.evaluate(labels, predicted)
        metrics = _metrics(scores)
        counts = {"accuracy": len(labels), "consistency": len(scores.sentences)}
        means = {"accuracy": example_values(list(examples.values()), list(scores.correct.values()))}
        every = np.array(list(scores.sentences.values()), dtype=np.float64)
        means["consistency"] = ExampleValues(list(scores.sentences), every, list(scores.sentences))
        row = {key: number for number, key in enumerate(examples)}
        for name, part in _parts(others, examples).items():
            metrics[f"accuracy, {name}"] = 100 * metric.accuracy_among(scores, part)
            counts[f"accuracy, {name}"] = len(part)
            means[f"accuracy, {name}"] = means["accuracy"].at([row[key] for key in part])
        odd = sum(word.lower() not in ("true", "false") for key, word in predicted.items() if key in labels)
        notes = [f"{odd:,} predictions are neither true nor false and count as wrong"] if odd else []
        return Scored(
            accuracy(list(scores.correct.values()), list(examples.values()), metrics),
            "accuracy: sentences judged correctly, each with one pair of images; " + self.note,
            counts,
            "sentences",
            [
                *notes,
                *passed_over(sum(key not in labels for key in predicted), f"without a counterpart in {whole.name}"),
            ],
            means,
        )

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """The official program's input: one line ``dev-850-0-1,True`` per example."""
        pairs = zip(examples, values(examples, predictions), strict=True)
        return "".join(f"{example.id},{bool(value)}\n" for example, value in pairs)


def _metrics(scores: metric.NLVR2Scores) -> dict[str, float]:
    return {"accuracy": 100 * scores.accuracy, "consistency": 100 * scores.consistency}


def _whole(truth: Sequence[Path]) -> tuple[Path, dict[str, Example], dict[Path, Sequence[str]]]:
    """(file with the most examples, its examples by id, other files -> ids; annotated examples have no ids)."""
    read = {path: {e.id: e for e in read_statements(path)} for path in truth if path.suffix != _ANNOTATED}
    if not read:
        raise DataError("no file of examples among the truth", file=truth[0], remedy="also pass dev.json")
    whole = max(read, key=lambda path: len(read[path]))
    for path, part in read.items():
        foreign = [key for key in part if key not in read[whole]]
        if not part or foreign:
            problem = (
                f"{counted(len(foreign), 'example', 'are')} not in {whole.name}" if part else "contains no examples"
            )
            remedy = "pass one split and parts of it" if part else Again("leave it out, or download it again")
            raise DataError(problem, file=path, record=foreign[0] if foreign else None, remedy=remedy)
    return whole, read[whole], {path: list(read.get(path, ())) for path in truth if path != whole}


def _parts(files: Mapping[Path, Sequence[str]], examples: Mapping[str, Example]) -> dict[str, Sequence[str]]:
    """Name -> ids of the examples of each part that the other files name."""
    found: dict[str, Sequence[str]] = {}
    for path, part in files.items():
        if path.suffix == _ANNOTATED:
            sentences = {key: example.text for key, example in examples.items()}
            found |= metric.by_category(sentences, metric.read_categories(path))
        else:
            found[path.stem] = part
    return found


def read_statements(path: Path, source: str = "nlvr2", split: str | None = None) -> Iterator[Example]:
    """Examples of a file, in order. ``group`` is the sentence within its set, over which consistency is counted.

    Args:
        split: required prefix of identifiers; None accepts any.

    Raises:
        DataError: a line is malformed, or an identifier is not split-set-pair-sentence, is of another split or occurs
            twice.
    """
    seen: set[str] = set()
    for record in read_lines(path):
        identifier, label = record.identifier("identifier"), record.text("label")
        if len(identifier.split("-")) != 4 or not all(identifier.split("-")):
            raise record.error(f"field 'identifier' must be split-set-pair-sentence, found {identifier!r}")
        if split is not None and identifier.partition("-")[0] != split:
            raise record.error(
                f"identifier {identifier} is not of split {split}", f"replace {path.name} by the file of that split"
            )
        if label not in ("True", "False"):
            raise record.error(f'field \'label\' must be "True" or "False", found {label!r}')
        if identifier in seen:
            raise record.error(f"identifier {identifier} occurs twice")
        seen.add(identifier)
        pair = identifier.rsplit("-", 1)[0]
        yield Example(
            id=identifier,
            text=record.text("sentence"),
            images=(f"{source}/{pair}-img0", f"{source}/{pair}-img1"),
            target=label == "True",
            group=metric.sentence_key(identifier),
        )
