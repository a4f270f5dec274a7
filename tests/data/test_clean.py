"""Clean splits and validation splits, on invented tasks and on the real overlap of three tasks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve.data.clean import (
    HeldOut,
    HeldOutImages,
    clean_splits,
    held_out_images,
    same_images,
    split_validation,
)
from twelve.errors import DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.tasks.base import Defaults, Task, get
from twelve.tasks.formats import visual_genome
from twelve.types.examples import Example
from twelve.types.measurement import Measurement, Protocol


def example(number: int, *images: str, group: str = "") -> Example:
    return Example(id=str(number), text="x", images=images, group=group or images[0])


class Invented(Task):
    """A task whose splits are given; a split without examples is missing from the data root."""

    name: ClassVar[str] = "invented"
    title: ClassVar[str] = "Invented"
    output: ClassVar[str] = "answer"
    kind: ClassVar[str] = "answer"
    token: ClassVar[int] = 0
    source: ClassVar[str] = "x"
    defaults: ClassVar[Defaults] = Defaults(1, 1e-5, 10)
    test_split: ClassVar[str] = "test"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"test": ("test",), "val": ("val",)}

    def __init__(self, **splits: list[str]) -> None:
        self.splits = splits

    def files(self, split: str) -> tuple[str, ...]:
        return (f"{split}.json",)

    def read(self, root: DataRoot, split: str) -> list[Example]:
        if split not in self.splits:
            raise MissingData("no such file", file=f"{split}.json")
        return [example(number, image) for number, image in enumerate(self.splits[split])]

    def protocol(self, split: str, name: str | None = None, *, gallery: int | None = None) -> Protocol:
        return Protocol(split)

    def measure(self, examples: Sequence[Example], predictions: Any) -> Measurement:
        raise NotImplementedError


@pytest.fixture
def tasks() -> dict[str, Task]:
    return {
        "a": Invented(train=["x/1", "x/2", "x/3", "x/4"], val=["x/5"], test=["x/6"]),
        "b": Invented(train=["x/5", "x/6", "x/1", "y/1"], val=["x/2"], extra=["x/1"]),
    }


def splits_of(held: HeldOutImages) -> list[tuple[str, str, str]]:
    return [(split.task, split.split, split.role) for split in held.splits]


def split_task(examples: Sequence[Example], fraction: float, seed: int) -> tuple[Sequence[Example], Sequence[Example]]:
    return split_validation({"": examples}, fraction, seed)[""]


def test_test_images_of_any_task_leave_every_training_set(tmp_path: Path, tasks: dict[str, Task]) -> None:
    root = DataRoot(tmp_path)
    held = held_out_images(root, mode="test", tasks=tasks)
    assert splits_of(held) == [("a", "test", "test")]
    assert held.skipped == {"b test": "the data root has no folder for it"}
    train = {name: task.read(root, "train") for name, task in tasks.items()}
    kept, report = clean_splits(train, held)
    assert [e.images[0] for e in kept["a"]] == ["x/1", "x/2", "x/3", "x/4"]
    assert [e.images[0] for e in kept["b"]] == ["x/5", "x/1", "y/1"]
    assert report.overlap == {"a": {"a test": 0}, "b": {"a test": 1}}
    assert (report.removed["b"].images_before, report.removed["b"].images_after) == (4, 3)
    assert (report.removed["b"].examples_before, report.removed["b"].examples_after) == (4, 3)
    assert "b test" not in str(report)  # nothing of b's test set is here, and nobody asked for it


def test_the_table_has_columns_for_the_splits_that_share_images(tmp_path: Path, tasks: dict[str, Task]) -> None:
    train = {name: task.read(DataRoot(tmp_path), "train") for name, task in tasks.items()}
    _, report = clean_splits(train, held_out_images(DataRoot(tmp_path), required={"b": "val"}, tasks=tasks))
    expected = ["task", "images", "kept", "out", "examples", "kept", "out", "a", "test", "b", "val"]
    assert str(report).splitlines()[2].split() == expected
    assert str(report).splitlines()[-2:] == [
        "a: 1 training image also occurs in b val; it is removed from training",
        "b: 1 training image also occurs in a test; it is removed from training",
    ]
    many = replace(report, overlap={name: {"a test": 2} for name in "abcd"})
    assert "column of a split: how many of the task's training images also occur in it" in str(many)
    alone = {"a": train["a"]}
    _, report = clean_splits(alone, held_out_images(DataRoot(tmp_path), required={"b": "val"}, tasks=tasks))
    assert str(report).splitlines()[2].split()[7:] == ["b", "val"]  # a's own test set shares nothing
    _, report = clean_splits(alone, held_out_images(DataRoot(tmp_path), tasks=tasks))
    assert "a test" not in str(report)
    assert str(report).endswith("no image of the test sets is in this run's training sets")


def test_the_table_of_uncleaned_splits_says_what_is_kept(tmp_path: Path, tasks: dict[str, Task]) -> None:
    train = {name: task.read(DataRoot(tmp_path), "train") for name, task in tasks.items()}
    _, report = clean_splits(train, held_out_images(DataRoot(tmp_path), mode="none", tasks=tasks))
    said = str(report).splitlines()
    assert said[0] == "not clean: training sets keep the images of other tasks' test sets"
    assert not any("columns" in line or "no image" in line for line in said)
    held = held_out_images(DataRoot(tmp_path), mode="none", required={"b": "val"}, tasks=tasks)
    _, report = clean_splits(train, held)
    assert str(report).splitlines()[0].endswith("test sets, except those of the splits that this run reports")
    assert str(report).splitlines()[2].split()[7:] == ["b", "val"]
    held = held_out_images(DataRoot(tmp_path), mode="none", required={"a": "val"}, tasks=tasks)
    _, report = clean_splits({"a": train["a"]}, held)
    assert str(report).endswith("no image of the splits that this run reports is in its training sets")


def test_validation_images_too_when_asked(tmp_path: Path, tasks: dict[str, Task]) -> None:
    root = DataRoot(tmp_path)
    held = held_out_images(root, mode="test+val", tasks=tasks)
    assert held.images == {"x/2", "x/5", "x/6"}
    kept, _ = clean_splits({name: task.read(root, "train") for name, task in tasks.items()}, held)
    assert [e.images[0] for e in kept["a"]] == ["x/1", "x/3", "x/4"]
    assert [e.images[0] for e in kept["b"]] == ["x/1", "y/1"]


def test_reported_split_is_always_held_out(tmp_path: Path, tasks: dict[str, Task]) -> None:
    root = DataRoot(tmp_path)
    held = held_out_images(root, mode="test", required={"a": "val", "b": "extra"}, tasks=tasks)
    assert splits_of(held) == [("a", "test", "test"), ("a", "val", "val"), ("b", "extra", "reported")]
    with pytest.raises(MissingData):
        held_out_images(root, required={"b": "test"}, tasks=tasks)


def test_one_held_out_image_of_two_is_enough() -> None:
    held = HeldOutImages("test", (HeldOut("n", "test", "test", frozenset({"x/2"})),))
    kept, _ = clean_splits({"n": [example(0, "x/1", "x/2"), example(1, "x/1", "x/3")]}, held)
    assert [e.id for e in kept["n"]] == ["1"]


def test_same_photograph_in_two_sources() -> None:
    splits = (HeldOut("n", "test", "test", frozenset({"coco/7"})),)
    train = {"m": [example(0, "vg/1"), example(1, "vg/2")]}
    kept, report = clean_splits(train, HeldOutImages("test", splits, same={"vg/1": "coco/7"}))
    assert [e.id for e in kept["m"]] == ["1"]
    assert report.overlap["m"] == {"n test": 1}
    assert len(clean_splits(train, HeldOutImages("test", splits))[0]["m"]) == 2


def test_the_same_photograph_is_held_back_to_one_side() -> None:
    train = {
        "coco": [example(number, f"coco/{number}") for number in range(60)],
        "vg": [example(number, f"vg/{number}") for number in range(60)],
    }
    same = {f"vg/{number}": f"coco/{59 - number}" for number in range(60)}
    validated = {
        name: {e.images[0] for e in validation}
        for name, (_, validation) in split_validation(train, 0.3, 0, same).items()
    }
    assert {same[image] for image in validated["vg"]} == validated["coco"] and 5 < len(validated["coco"]) < 35
    apart = {
        name: {e.images[0] for e in validation} for name, (_, validation) in split_validation(train, 0.3, 0).items()
    }
    assert {same[image] for image in apart["vg"]} != apart["coco"]


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def genome(root: Path) -> None:
    """A RefCOCO test image, COCO 7, that is Visual Genome's image 1; images 2 and 3 are nobody else's."""
    sentence = {"sent_id": 0, "sent": "it", "raw": "it", "tokens": ["it"]}
    ref = {"ref_id": 0, "ann_id": 8, "image_id": 7, "split": "testA", "sent_ids": [0], "sentences": [sentence]}
    image = {"id": 7, "file_name": "COCO_train2014_000000000007.jpg", "width": 9, "height": 9}
    write(
        root / "refcoco/instances.json",
        {"images": [image], "annotations": [{"id": 8, "image_id": 7, "bbox": [0, 0, 5, 5]}]},
    )
    (root / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps([ref], protocol=0))
    question: dict[str, Any] = {"question": "who", "isBalanced": True, "answer": "cat", "entailed": [], "semantic": []}
    question |= {"types": {"structural": "query", "semantic": "obj", "detailed": "x"}, "groups": {"global": None}}
    rows = {f"0{number}": question | {"imageId": str(number)} for number in (1, 2)}
    write(root / "gqa/train_balanced_questions.json", rows)
    qas = [{"id": number, "qas": [{"qa_id": number, "question": "who", "answer": "A cat."}]} for number in (1, 2, 3)]
    write(root / "vg_qa/question_answers.json", qas)
    pairs = [{"qa_id": 1, "question": "which", "answer": 1, "multiple_choices": [2]}]
    boxes = [{"box_id": number, "x": number, "y": 0, "width": 2, "height": 2} for number in (1, 2)]
    images = [
        {"filename": f"v7w_{number}.jpg", "split": "train", "qa_pairs": [pairs[0] | {"qa_id": number}]}
        for number in (1, 2)
    ]
    write(root / "visual7w/dataset_v7w_pointing.json", {"boxes": boxes, "images": images})


def test_a_test_image_leaves_the_tasks_on_the_other_sources_copy(tmp_path: Path) -> None:
    genome(tmp_path)
    root, names = DataRoot(tmp_path), ("refcoco", "gqa", "vg_qa", "visual7w")
    tasks = {name: get(name) for name in names}
    train = {name: tasks[name].read(root, tasks[name].train_split) for name in names[1:]}

    blind = held_out_images(root, tasks=tasks)
    assert "unknown which images are also in COCO: no" in blind.skipped["gqa's images in other sources"]
    assert [len(part) for part in clean_splits(train, blind)[0].values()] == [2, 2, 2]

    write(
        tmp_path / "vg_qa/image_data.json",
        [{"image_id": 1, "coco_id": 7, "url": ""}, {"id": 2, "coco_id": None}, {"image_id": 3}],
    )
    held = held_out_images(root, tasks=tasks)
    assert held.same == {"vg/1": "coco/7"} and "gqa's images in other sources" not in held.skipped
    kept, report = clean_splits(train, held)
    assert {name: [e.images[0] for e in part] for name, part in kept.items()} == {name: ["vg/2"] for name in names[1:]}
    assert all(report.overlap[name]["refcoco test"] == 1 for name in names[1:])


def test_a_file_of_copies_is_read_once_for_all_tasks_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genome(tmp_path)
    root, tasks = DataRoot(tmp_path), {name: get(name) for name in ("gqa", "vg_qa", "visual7w")}
    parsed: list[Path] = []
    plain = visual_genome.read_coco_ids
    monkeypatch.setattr(visual_genome, "read_coco_ids", lambda path, source: parsed.append(path) or plain(path, source))
    for number in (7, 8):
        write(tmp_path / "vg_qa/image_data.json", [{"image_id": 1, "coco_id": number}])
        assert same_images(root, tasks)[0] == {"vg/1": f"coco/{number}"}
    assert len(parsed) == 2


IMAGES = st.integers(0, 12).map(lambda number: f"x/{number}")


@given(
    st.lists(st.tuples(IMAGES, IMAGES, st.integers(0, 5)), max_size=8),
    st.lists(IMAGES, max_size=13, unique=True),
    st.integers(0, 5),
)
def test_the_split_never_splits_an_image_or_a_sentence(
    pairs: list[tuple[str, str, int]], singles: list[str], seed: int
) -> None:
    train = {
        "pairs": [example(i, a, b, group=f"s{group}") for i, (a, b, group) in enumerate(pairs)],
        "singles": [example(i, image) for i, image in enumerate(singles)],
    }
    for examples in train.values():  # both have at least two separate images
        examples += [example(100 + number, f"y/{number}") for number in range(2)]
    held_back = split_validation(train, 0.3, seed)
    train_images = {image for part, _ in held_back.values() for e in part for image in e.images}
    validation_images = {image for _, part in held_back.values() for e in part for image in e.images}
    assert train_images.isdisjoint(validation_images)
    assert {e.group for e in held_back["pairs"][0]}.isdisjoint(e.group for e in held_back["pairs"][1])
    for name, (kept, validation) in held_back.items():
        assert kept and validation
        assert sorted([*kept, *validation], key=lambda e: int(e.id)) == train[name]


def test_the_split_does_not_depend_on_the_rest_of_the_data() -> None:
    examples = [example(number, f"x/{number}") for number in range(5000)]
    validation = {e.images[0] for e in split_task(examples, 0.1, 0)[1]}
    assert 400 < len(validation) < 600
    fewer = {e.images[0] for e in split_task(examples[::-2], 0.1, 0)[1]}
    assert fewer == validation & {e.images[0] for e in examples[::-2]}
    assert {e.images[0] for e in split_task(examples, 0.1, 1)[1]} != validation
    assert sorted(validation)[:3] == ["x/1003", "x/1004", "x/1017"]  # the same on every machine


@given(st.integers(10, 60), st.integers(0, 60), st.sampled_from([0.1, 0.2, 0.45]), st.integers(0, 9))
def test_a_task_of_few_images_holds_out_the_share_that_was_asked_for(
    few: int, shared: int, fraction: float, seed: int
) -> None:
    """But of the images that it shares with a task of many, it holds out what that task does."""
    many = [example(number, f"x/{number}") for number in range(200)]
    alone, both = many[:few], [example(number, f"x/{number}") for number in range(200 - shared, 200 + few)]
    held_out = {e.id for e in split_validation({"few": alone}, fraction, seed, counted=["few"])["few"][1]}
    assert len(held_out) == round(fraction * few)
    drawn = {e.id for e in split_task(many, fraction, seed)[1]}
    found = split_validation({"many": many, "few": both}, fraction, seed, counted=["few"])
    assert {e.id for e in found["many"][1]} == drawn
    held_out = {e.id for e in found["few"][1]}
    assert held_out & {e.id for e in many} == drawn & {e.id for e in both}
    assert len(held_out - drawn) == round(fraction * few)


def test_each_task_has_something_on_both_sides() -> None:
    for seed in range(30):
        kept, validation = split_task([example(number, f"x/{number}") for number in range(2)], 0.05, seed)
        assert len(kept) == len(validation) == 1
    with pytest.raises(DataError, match="too few to validate on"):
        split_task([example(0, "x/1"), example(1, "x/1")], 0.1, 0)
    with pytest.raises(DataError, match="without an image"):
        split_task([Example(id="7", text="", images=())], 0.1, 0)


@pytest.mark.realdata
def test_the_real_overlap(realdata: Path) -> None:
    """Flickr30k images of SNLI-VE dev are caption and phrase training images, and the reverse."""
    root = DataRoot(realdata, {"refcoco": "flickr30k"})
    required = {"vqa": "val", "flickr30k": "val", "refcoco": "val", "nlvr2": "dev", "snli_ve": "dev"}
    train = {name: get(name).read(root, "train") for name in required}
    kept, report = clean_splits(train, held_out_images(root, mode="test+val", required=required))
    assert report.overlap["flickr30k"]["snli_ve dev"] == 222
    assert report.overlap["refcoco"]["snli_ve dev"] == 217  # five of the 222 have no phrase
    assert report.overlap["snli_ve"]["flickr30k val"] == 55
    out = {name: sizes.images_before - sizes.images_after for name, sizes in report.removed.items()}
    assert out == {"vqa": 0, "flickr30k": 222, "refcoco": 217, "nlvr2": 0, "snli_ve": 55}
    measured = {i for name, split in required.items() for e in get(name).read(root, split) for i in e.images}
    assert measured.isdisjoint(i for examples in kept.values() for e in examples for i in e.images)
