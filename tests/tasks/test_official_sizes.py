"""Training sets have the original's sizes, from files of the official sizes. Of splits that the original cuts, only ids
are made; the cuts are the readers'. Other files are those of benchmarks/official_files.py, complete."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from twelve.formats.data_root import DataRoot
from twelve.tasks import gqa, visual_genome_qa, vqa
from twelve.tasks.base import all_tasks, get

VQA = {"train": (443_757, 82_783), "val": (214_354, 40_504)}
"""Split -> questions, images."""
GQA = {"train_balanced": 943_000, "val_balanced": 132_062}
GENOME = 1_445_322
KARPATHY = {
    "coco": {"train": 82_783, "restval": 30_504, "val": 5_000, "test": 5_000},
    "flickr30k": {"train": 29_000, "val": 1_014, "test": 1_000},
}


GENERATED = {
    **{"coco": 566_747, "refcoco": 120_624, "refcoco+": 120_191, "refcocog": 80_512, "visual7w": 93_813},
    **{"guesswhat": 113_221, "nlvr2": 86_373, "snli_ve": 529_527},
}
"""Task -> training examples, as the datasets' papers and cards state them; those of COCO, RefCOCO+, RefCOCOg, Visual7W
and GuessWhat?! are recalled."""


class Question:
    """What the cuts read of an example; a million of these are made in a second."""

    __slots__ = ("id",)
    text, options, target = "?", (), None

    def __init__(self, key: int) -> None:
        self.id = str(key)


def count(examples: Iterable[Any]) -> int:
    return sum(1 for _ in examples)


def root_with(folder: Path, *names: str) -> DataRoot:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return DataRoot(folder)


def questions(number: int, images: int, first: int) -> Iterator[Question]:
    """Questions about images in turn; an id is that of the image times 1,000, and a number: as in VQA v2."""
    for place in range(number):
        turn, image = divmod(place, images)
        yield Question((first + image) * 1000 + turn)


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATED)
def test_a_training_set_of_generated_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from official_files import write_files
    from official_world import World

    write_files(World(1.0), tmp_path, [name])
    task = get(name)
    assert count(task.iterate(DataRoot(tmp_path), task.train_split)) == GENERATED[name]


def test_no_task_is_missing() -> None:
    twelve = {task.name for task in all_tasks().values() if not task.extra}
    assert {*GENERATED, "vqa", "gqa", "vg_qa", "flickr30k"} == twelve


@pytest.mark.slow
def test_vqa_trainval_and_minval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, source: str, split: str) -> Iterator[Question]:
        return questions(*VQA[split], first=1 if split == "train" else 100_000)

    monkeypatch.setattr(vqa, "read_questions", read)
    monkeypatch.setattr(vqa, "add_answers", lambda examples, *_: examples)
    task = get("vqa")
    root = root_with(tmp_path, *(f"vqa/{name}" for split in VQA for name in task.files(split)))
    assert {split: task.official_counts[split] for split in VQA} == VQA
    minval = task.read(root, "minval")
    assert len(minval) == 3_000 == vqa.MINVAL
    largest = min(int(example.id) for example in minval)
    left = [0, 0]
    for example in task.iterate(root, "trainval"):
        left[int(example.id) > largest] += 1
    assert left == [443_757 + 214_354 - 3_000, 0] == [655_111, 0]


@pytest.mark.slow
def test_gqa_trainval_and_minval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(paths: list[Path], source: str, **_: Any) -> Iterator[Question]:
        split = paths[0].name.removesuffix("_questions.json")
        start = 0 if split.startswith("train") else 7  # ids of both files lie between each other's
        return (Question(start + 10 * place) for place in range(GQA[split]))

    monkeypatch.setattr(gqa, "read_questions", read)
    task = get("gqa")
    root = root_with(tmp_path, *(f"gqa/{name}" for name in task.files("trainval")))
    assert {split: task.official_counts[split][0] for split in GQA} == GQA
    assert len(task.read(root, "minval")) == 3_000 == gqa.MINVAL
    assert count(task.iterate(root, "trainval")) == 943_000 + 132_062 - 3_000 == 1_072_062


@pytest.mark.slow
def test_visual_genome_questions_are_cut_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Question(place * 7919 % GENOME) for place in range(GENOME)]
    monkeypatch.setattr(visual_genome_qa, "read_questions", lambda *_: made)
    task, root = get("vg_qa"), root_with(tmp_path, "vg_qa/question_answers.json")
    val = task.read(root, "val")
    assert [int(example.id) for example in val] == list(range(GENOME - 5_000, GENOME))
    assert len(task.read(root, "train")) == task.official_counts["train"][0] == 1_440_322


@pytest.mark.slow
@pytest.mark.parametrize("name", KARPATHY)
def test_karpathy_splits(name: str, tmp_path: Path) -> None:
    """Files of the official structure: Flickr30k's five captions an image, of COCO one."""
    images, each = [], 5 if name == "flickr30k" else 1
    for split, size in KARPATHY[name].items():
        for _ in range(size):
            number = len(images)
            sentences = [{"raw": "a", "sentid": each * number + place} for place in range(each)]
            images.append({"filename": f"{number}.jpg", "imgid": number, "split": split, "sentences": sentences})
    (tmp_path / name).mkdir()
    (tmp_path / name / f"dataset_{name}.json").write_text(json.dumps({"dataset": name, "images": images}))
    task = get(name)
    for split in ("train",) if name == "coco" else ("train", "val", "test"):
        found = task.read(DataRoot(tmp_path), split)
        captions, shown = task.official_counts[split]
        assert captions in (None, len(found)) and len({example.images for example in found}) == shown
