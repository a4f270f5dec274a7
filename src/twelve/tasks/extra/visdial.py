"""Visual Dialog 1.0: which of 100 answers continues a dialogue about an image (Das et al. 2017). An extra task.

``visdial_1.0_val.json``, where questions, answers and options are indices into two lists::

    {"split": "val", "version": "1.0",
     "data": {"questions": ["is it sunny", ...], "answers": ["yes", ...],
              "dialogs": [{"image_id": 185565, "caption": "a dog on a lawn",
                           "dialog": [{"question": 7, "answer": 0, "answer_options": [0, 41, ...], "gt_index": 0},
                                      ...]}]}}

In the test split, only the last round has options, and none has an answer. The optional
``visdial_1.0_val_dense_annotations.json`` rates the relevance of each option in one round per image; NDCG needs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.json_streams import read_items
from twelve.formats.records import Record, read_object
from twelve.formats.results import complete, known, only
from twelve.io.files import is_there
from twelve.metrics import visdial as metric
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.shared import example_values, some_of
from twelve.types.examples import SEPARATOR, Example
from twelve.types.measurement import ExampleValues, Measurement, Scored

OPTIONS = 100
_PREFIX = {"train": "COCO_train2014", "val": "VisualDialog_val2018", "test": "VisualDialog_test2018"}
"""Prefix of the image file names. Those of train (COCO's train2014 and val2014) are identified by number; those of
the other splits are not from COCO and have their own numbers."""


@register
class VisualDialog(Task):
    """VisDial 1.0. As in the original, the text is the caption, the previous round and the question; an example's id is
    image-round."""

    name: ClassVar[str] = "visdial"
    title: ClassVar[str] = "Visual Dialog"
    output: ClassVar[str] = "alignment"
    kind: ClassVar[str] = "options"
    token: ClassVar[int] = 3
    source: ClassVar[str] = "visdial"
    extra: ClassVar[bool] = True
    page: ClassVar[str] = "https://visualdialog.org/data"
    note: ClassVar[str] = f"all {OPTIONS} options of a round are ranked"
    # The original's limit of 16 word pieces would cut off most of caption, round and question.
    defaults: ClassVar[Defaults] = Defaults(batch_size=64, learning_rate=4e-5, max_text=60)
    result_file: ClassVar[str] = "visdial_1.0_{split}_ranks.json"
    file_names: ClassVar[Mapping[str, str]] = {split: f"visdial_1.0_{split}.json" for split in _PREFIX}
    test_split: ClassVar[str] = "val"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}

    def iterate(self, root: DataRoot, split: str) -> Iterator[Example]:
        path = root.file(self.folder, *self.files(split), page=self.page)
        dense = _dense(path)
        relevance = metric.read_relevance(dense, OPTIONS) if is_there(dense, DataError) else {}
        source = root.image_source(self, _PREFIX[split])
        left = dict(relevance)
        for example in some_of(rounds_of(path, split, source, relevance), path, split):
            left.pop(example.id, None)
            yield example
        known(left, (), dense, "round", f"rounds of {path.name}")

    def input_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        (path,) = super().input_files(root, split)
        return (path, _dense(path)) if _dense(path).is_file() else (path,)

    def truth_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        return self.input_files(root, split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        return _measured(examples, np.array(_ranks(predictions), dtype=np.int64))[0]

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """The truth is the dialogues and, for NDCG, the dense annotations, in either order."""
        dense = [path for path in truth if _is_list(path)]
        path = only([path for path in truth if path not in dense], "the dialogues, visdial_1.0_val.json")
        split, results = read_object(path).text("split"), only(predictions, "the official list of ranks")
        relevance = metric.read_relevance(only(dense, "the dense annotations"), OPTIONS) if dense else {}
        rounds = {example.id: example for example in rounds_of(path, split.rstrip("0123456789"), "", relevance)}
        if any(example.target is None for example in rounds.values()):
            raise DataError("contains no answers", file=path, remedy="score predictions for the validation split")
        known(relevance, rounds, dense[0] if dense else path, "round", "dialogues")
        ranks = metric.read_results(results, OPTIONS)
        complete(rounds, ranks, results, "round")
        known(ranks, rounds, results, "round", "dialogues")
        measured, means = _measured(list(rounds.values()), np.array([ranks[key] for key in rounds], dtype=np.int64))
        counts = {name: len(relevance) if name == "NDCG" else len(rounds) for name in measured.metrics}
        notes = [] if dense else ["NDCG is left out: it needs the dense annotations as a second truth file"]
        rules = f"split {split}, all rounds; NDCG is cut off at the number of relevant options"
        return Scored(measured, rules, counts, notes=notes, means=means)

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """The official list of ``{"image_id": 185565, "round_id": 1, "ranks": [...]}``, for rounds with options."""
        rows = [
            {"image_id": example.facts["image_id"], "round_id": example.facts["round_id"], "ranks": ranks}
            for example, ranks in zip(examples, _ranks(predictions), strict=True)
        ]
        return json.dumps(rows) + "\n"


def _ranks(predictions: Sequence[Any]) -> list[list[int]]:
    """Rank of each option, from 1, in every prediction."""
    return [metric.ranks_of([option for option, _ in prediction.alternatives]) for prediction in predictions]


def _measured(examples: Sequence[Example], ranks: NDArray[np.int64]) -> tuple[Measurement, dict[str, ExampleValues]]:
    """The measurement, and the rounds behind each metric; ``ranks``: (N, 100) rank of every option, from 1."""
    relevance = {row: e.facts["relevance"] for row, e in enumerate(examples) if "relevance" in e.facts}
    scores = metric.evaluate(ranks, [example.target for example in examples], relevance)  # type: ignore[misc]
    metrics = {f"R@{most}": 100 * share for most, share in scores.recall.items()}
    metrics |= {"MRR": 100 * scores.mrr, "mean rank": scores.mean_rank}
    if scores.ndcg is not None:
        metrics["NDCG"] = 100 * scores.ndcg
    mrr = example_values(examples, (1 / scores.places).tolist())
    means = {f"R@{most}": replace(mrr, values=(scores.places <= most).astype(np.float64)) for most in scores.recall}
    means["MRR"] = mrr
    if scores.gains:
        means["NDCG"] = replace(mrr.at([*scores.gains]), values=np.array([*scores.gains.values()]))
    return Measurement("R@1", metrics, means["R@1"].values, mrr.groups), means


def _dense(path: Path) -> Path:
    """Path of the dense annotations of a split."""
    return path.with_name(f"{path.stem}_dense_annotations.json")


def _is_list(path: Path) -> bool:
    """Whether a JSON file starts with a list."""
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        return stream.read(4096).lstrip().startswith("[")


def rounds_of(path: Path, split: str, source: str, relevance: Mapping[str, tuple[float, ...]]) -> Iterator[Example]:
    """One example per round with options, in file order. Target: the index of the correct option.

    Args:
        source: image source.
        relevance: image-round -> relevance of its options, for annotated rounds.

    Raises:
        DataError: a record is malformed, an index is outside its list, a dialogue occurs twice, or (except in test) a
            round has no options or no answer.
    """
    questions, answers = _texts(path)
    seen: set[int] = set()
    for index, (place, content) in enumerate(read_items(path, "data.dialogs")):
        dialog = Record(content, path, f"{place}[{index}]")
        number = dialog.integer("image_id")
        if number in seen:
            raise dialog.error(f"image_id {number} occurs twice")
        seen.add(number)
        image = f"{source}/{number}" if split == "train" else f"{source}/{_PREFIX.get(split, split)}_{number:012d}"
        before = dialog.text("caption")
        for round_id, turn in enumerate(dialog.records("dialog"), 1):
            question = _listed(turn, "question", questions)
            if split != "test" or "answer_options" in turn.fields:
                key = f"{number}-{round_id}"
                facts: dict[str, Any] = {"image_id": number, "round_id": round_id}
                facts |= {"relevance": relevance[key]} if key in relevance else {}
                yield Example(
                    id=key,
                    text=before + SEPARATOR + question,
                    images=(image,),
                    target=_right(turn, split),
                    group=image,
                    options=_options(turn, answers),
                    facts=facts,
                )
            if split != "test" or "answer" in turn.fields:
                said = f"{question} {_listed(turn, 'answer', answers)}"
                before = dialog.text("caption") + SEPARATOR + said


def _texts(path: Path) -> tuple[list[str], list[str]]:
    """The file's lists of questions and answers."""
    found: dict[str, list[Any]] = {}
    for place, text in read_items(path, "data.questions", "data.answers"):
        found.setdefault(place.removeprefix("data."), []).append(text)
    data = Record(found, path, "data")
    return data.strings("questions"), data.strings("answers")


def _listed(turn: Record, key: str, texts: Sequence[str]) -> str:
    index = turn.integer(key)
    if not 0 <= index < len(texts):
        raise turn.error(f"field {key!r} must be 0 to {len(texts) - 1}, found {index}")
    return texts[index]


def _options(turn: Record, answers: Sequence[str]) -> tuple[str, ...]:
    indices = turn.items("answer_options")
    whole = len(indices) == OPTIONS and set(map(type, indices)) == {int}
    if not whole or min(indices) < 0 or max(indices) >= len(answers):
        raise turn.error(f"field 'answer_options' must hold {OPTIONS} indices into the file's {len(answers)} answers")
    return tuple(map(answers.__getitem__, indices))


def _right(turn: Record, split: str) -> int | None:
    if split == "test" and "gt_index" not in turn.fields:
        return None
    index = turn.integer("gt_index")
    if not 0 <= index < OPTIONS:
        raise turn.error(f"field 'gt_index' must be 0 to {OPTIONS - 1}, found {index}")
    return index
