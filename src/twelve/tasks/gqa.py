"""GQA: compositional questions about images, generated from scene graphs (Hudson and Manning 2019).

A member of ``val_balanced_questions.json``; ids are strings, some with leading zeros. In the test, challenge and
submission files, only question, imageId and isBalanced are public::

    "201307251": {"question": "What color is the fence?", "imageId": "2375429", "isBalanced": true, "answer": "white",
      "fullAnswer": "The fence is white.", "types": {"detailed": "color", "semantic": "attr", "structural": "query"},
      "groups": {"global": "color", "local": "10q-fence_color"}, "entailed": ["201307252"], "equivalent": [...],
      "semantic": [{"operation": "select", "dependencies": [], "argument": "fence (3)"}, ...], "semanticStr": "...",
      "annotations": {"answer": {}, "question": {"4": "1058498"}, "fullAnswer": {"1": "1058498"}}}

A member of the optional ``val_choices.json``: ``"201307251": {"valid": ["red", "white"], "plausible": [...]}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot
from twelve.formats.json_streams import read_members
from twelve.metrics import gqa as metric
from twelve.tasks.base import Defaults, register
from twelve.tasks.formats.gqa import choice_keys, choices_of, entailments, metrics_of, question_of, read_questions
from twelve.tasks.formats.shared import accuracy, all_but_last, last, some_of, unknown_split, values
from twelve.tasks.formats.visual_genome import GenomeTask
from twelve.types.examples import Example
from twelve.types.logged import HarnessLog, Logged
from twelve.types.measurement import Measurement, Scored

_PARTS = ("train", "val", "testdev", "test", "challenge")
_SPLITS = (*(f"{part}_{kind}" for kind in ("balanced", "all") for part in _PARTS), "submission_all")
_TRAIN = "train"
"""The start of the names of training splits, from which what only metrics need is left out."""
_FOLDER = "train_all"
"""The split stored as a folder of ten files, 14 million questions; what is measured of it are its balanced ones, which
another split has."""
_PARTED = ("train_balanced", "val_balanced")
"""The splits that the original combines for training and validation."""
_CUTS = ("trainval", "minval")
COMPARED = 1000
"""Questions that a file of choices or scene graphs is compared with."""
_COMPARES = "it ignores {}; the official program compares answers as they were written"
MINVAL = 3000
"""Number of questions that the original holds out of training: the last ones of train and val by question id. It is
unknown whether the original sorted ids as text or as numbers; here they are numbers."""


@register
class GQA(GenomeTask):
    """GQA 1.2. testdev is the test set with public answers; its images (ids n...) are not from Visual Genome.

    The splits trainval and minval are the original's, cut from the balanced questions of train and val. The cut falls
    between questions, so an image can be on both sides unless training excludes it.
    """

    name: ClassVar[str] = "gqa"
    title: ClassVar[str] = "GQA"
    output: ClassVar[str] = "answer_gqa"
    kind: ClassVar[str] = "answer"
    token: ClassVar[int] = 15
    page: ClassVar[str] = "https://cs.stanford.edu/people/dorarad/gqa/download.html"
    note: ClassVar[str] = (
        "exact answers to balanced questions, without normalization; distribution: chi squared / 100, lower is better"
    )
    defaults: ClassVar[Defaults] = Defaults(batch_size=128, learning_rate=4e-5, max_text=26)
    train_split: ClassVar[str] = "train_balanced"
    splits: ClassVar[tuple[str, ...]] = (*_SPLITS, *_CUTS)
    test_split: ClassVar[str] = "testdev_balanced"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("testdev_balanced",), "val": ("val_balanced",)}
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "train_balanced": (943_000, 72_140),
        "val_balanced": (132_062, None),
        "testdev_balanced": (12_578, 398),
        "test_balanced": (95_336, 2_987),
        "challenge_balanced": (50_726, 1_590),
    }

    result_file: ClassVar[str] = "{split}_predictions.json"
    fact_types: ClassVar[tuple[type, ...]] = (metric.GQAQuestion, metric.Choices)

    def files(self, split: str) -> tuple[str, ...]:
        if split in _CUTS:
            return tuple(name for part in _PARTED for name in self.files(part))
        if split not in _SPLITS:
            raise unknown_split(self.name, split, [*_SPLITS, *_CUTS])
        if split == _FOLDER:
            return tuple(f"{split}_questions/{split}_questions_{number}.json" for number in range(10))
        return (f"{split}_questions.json",)

    def input_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        choices = (_choices_file(root, self.folder, part) for part in (_PARTED if split in _CUTS else (split,)))
        return (*super().input_files(root, split), *(path for path in choices if path is not None))

    def truth_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        return () if split in _CUTS else self.input_files(root, split)

    def beside(self, root: DataRoot) -> Iterator[tuple[Path, Callable[[Path], object]]]:
        """Choices and scene graphs, each compared with the questions of the split that its name says."""
        from twelve.tasks.formats import gqa_results

        folder = root.path / self.folder
        for pattern, reader, of_images in (
            ("*_choices.json", choice_keys, False),
            ("*_sceneGraphs.json", gqa_results.read_scenes, True),
        ):
            for path in sorted(folder.glob(pattern)):
                part = path.name.partition("_")[0]
                questions = [folder / name for kind in ("balanced", "all") for name in self.files(f"{part}_{kind}")]
                found = next((file for file in questions if file.is_file()), None) if part in _PARTS else None
                yield path, partial(_of_split, reader=reader, questions=found, of_images=of_images)

    def iterate(self, root: DataRoot, split: str) -> Iterator[Example]:
        paths = [root.file(self.folder, name, page=self.page) for name in self.files(split)]
        if split in _CUTS:
            both = chain.from_iterable(self.iterate(root, part) for part in _PARTED)
            found = last(both, MINVAL) if split == "minval" else all_but_last(both, MINVAL)
        else:
            found = read_questions(
                paths,
                root.image_source(self),
                choices=_choices_file(root, self.folder, split),
                entailments=not split.startswith(_TRAIN),
                measured=split != _FOLDER,
            )
        return some_of(found, paths[0], split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        """Only balanced questions are measured. Validity and plausibility need the choices file, consistency needs
        predictions for all entailed questions (a split of all questions); otherwise they are left out."""
        questions = {example.id: question_of(example) for example in examples}
        predicted = dict(zip(questions, values(examples, predictions), strict=True))
        scores = metric.evaluate(
            questions,
            {example.id: example.text for example in examples},
            predicted,
            entailed=entailments(examples, questions),
            choices=choices_of(examples),
        )
        row_of = {example.id: row for row, example in enumerate(examples)}
        rows = [row_of[key] for key in scores.correct]
        measured = [examples[row] for row in rows]
        return accuracy(list(scores.correct.values()), measured, dict(metrics_of(scores)), rows)

    def score(self, truth: Sequence[Path], predictions: Sequence[Path], protocol: str) -> Scored:
        """Truth: the questions; optionally the choices, for more metrics; for grounding, the scene graphs, with the
        attentions as a second file of predictions."""
        from twelve.tasks.formats import gqa_results

        return gqa_results.score(truth, predictions, self.source)

    @property
    def harnesses(self) -> Mapping[str, tuple[HarnessLog, ...]]:
        return {
            "lmms-eval": (HarnessLog(r"gqa(_lite)?", "exact_match", (_COMPARES.format("capitals and punctuation"),)),),
            "vlmevalkit": (
                HarnessLog(
                    r"GQA_TestDev_Balanced", "Overall", (_COMPARES.format("capitals and spaces around answers"),)
                ),
            ),
        }

    def truth_examples(self, truth: Sequence[Path]) -> list[Example]:
        from twelve.tasks.formats import gqa_results

        return gqa_results.balanced_questions(truth, self.source)

    def logged_example(self, logged: Logged) -> Example | None:
        answer = logged.doc.get("answer", logged.doc.get("target"))
        if not isinstance(answer, str):
            return None
        return Example(logged.key, logged.text, ("",), target={answer: 1.0})

    def contribution(self, example: Example, predicted: Any, protocol: str) -> float:
        return float(predicted in example.target)  # type: ignore[operator]

    def submission(self, examples: Sequence[Example], predictions: Any) -> str:
        """EvalAI's format for GQA, for submission_all: ``[{"questionId": "201307251", "prediction": "red"}]``."""
        pairs = zip(examples, values(examples, predictions), strict=True)
        return json.dumps([{"questionId": example.id, "prediction": answer} for example, answer in pairs])


def _of_split(path: Path, *, reader: Callable[[Path], Iterable[str]], questions: Path | None, of_images: bool) -> None:
    """Read a file about a split's questions.

    Args:
        reader: reads it, and gives its keys.
        questions: the split's own file, of which the first ones are compared; None where it is not here.
        of_images: its keys are images, not questions.

    Raises:
        DataError: it is malformed, or is about nothing that these questions ask.
    """
    first = () if questions is None else islice(read_members(questions), COMPARED)
    asked = {record.text("imageId") if of_images else key for key, record in first}
    about = sum(key in asked for key in reader(path))  # reads all of it, and holds nothing
    if questions is not None and asked and not about:
        what = "images" if of_images else "questions"
        raise DataError(
            f"holds none of the {what} of the first {COMPARED:,} questions of {questions.name}: it is of another split",
            file=path,
            remedy=f"put the official {path.name} here",
        )


def _choices_file(root: DataRoot, folder: str, split: str) -> Path | None:
    """The split's file of choices; none for training splits, whose 14 million questions nothing is measured on."""
    path = root.path / folder / f"{split.split('_')[0]}_choices.json"
    return path if not split.startswith(_TRAIN) and path.exists() else None
