from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import tiny
from PIL import Image
from test_clean import Invented, example

from twelve.data import check
from twelve.data.check import check_root
from twelve.errors import ConfigError, DataError
from twelve.formats.data_root import DataRoot
from twelve.types.examples import Box, Example


class Boxed(Invented):
    """Every image of every split with the same boxes."""

    name: ClassVar[str] = "boxed"
    title: ClassVar[str] = "Boxed"
    page: ClassVar[str] = "https://example.org/boxed"
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {"train": (3, 2)}
    boxes: tuple[Box, ...] = ()

    def read(self, root: DataRoot, split: str) -> list[Example]:
        if split == "broken":
            raise DataError("question 7 has no annotation", file="annotations.json")
        read = super().read(root, split)
        return [Example(e.id, e.text, e.images, None, e.group, self.boxes) for e in read]


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boxed:
    (tmp_path / "boxed").mkdir()
    folder = tmp_path / "images" / "x"
    folder.mkdir(parents=True)
    for number in range(1, 4):
        Image.new("RGB", (100, 50)).save(folder / f"{number}.png")
    task = Boxed(train=["x/1", "x/2"], val=["x/3"])
    monkeypatch.setattr(check, "get", lambda name, own=None: task)
    return task


def test_what_is_there_and_what_is_not(tmp_path: Path, task: Boxed) -> None:
    report = check_root(tmp_path, ["boxed"])
    (found,) = report.tasks
    val, test = found.measured
    assert str(report).startswith("boxed (Boxed): can run once regions are extracted\n")
    assert f"\nto extract regions, run: twelve regions extract --images {tmp_path}/images/x " in str(report)
    assert report.ok and found.train.usable and val.usable and not test.usable
    assert test.missing == ("test.json",)
    assert "2 examples, officially 3" in found.train.notes
    text = str(report)
    assert "train: 2 examples on 2 images (official: 3 examples, 2 images)" in text
    assert "missing test.json" in text and "published at https://example.org/boxed" in text


def test_regions_of_a_task_that_cannot_run_are_not_extracted(
    tmp_path: Path, task: Boxed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is a source named that only such a task has, nor such a task beside others of its source."""

    class Candidates(Boxed):
        has_candidates: ClassVar[bool] = True

    class Untested(Candidates):
        name: ClassVar[str] = "untested"

    (tmp_path / "untested").mkdir()
    (tmp_path / "images" / "y").mkdir()
    Image.new("RGB", (100, 50)).save(tmp_path / "images" / "y" / "1.png")
    tasks: dict[str, Boxed] = {
        "boxed": Candidates(train=["x/1"], val=["x/3"]),
        "untested": Untested(train=["x/1", "y/1"]),
    }
    for each in tasks.values():
        each.boxes = ((0.0, 0.0, 10.0, 10.0),)
    monkeypatch.setattr(check, "get", lambda name, own=None: tasks[name])
    report = check_root(tmp_path, [*tasks])
    assert [each.runs for each in report.tasks] == [True, False] and set(report.tasks[1].lacking) == {"x", "y"}
    (command,) = report.extracting
    assert f"--images {tmp_path}/images/x " in command and "given:boxed" in command and "untested" not in command


def test_images_that_are_not_there(tmp_path: Path, task: Boxed) -> None:
    (tmp_path / "images" / "x" / "2.png").unlink()
    report = check_root(tmp_path, ["boxed"])
    assert report.tasks[0].train.errors == ("1 of 2 images have neither a file nor regions; the first is x/2",)
    assert not report.ok


@pytest.mark.parametrize("labelled", [True, False])
def test_images_that_only_a_submission_needs(
    labelled: bool, tmp_path: Path, task: Boxed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a held-out split that is not evaluated by default, and has no labels."""
    task.splits = {"train": ["x/1", "x/2"], "val": ["x/3"], "hidden": ["x/4"], "test": ["x/3"]}
    held_out = {"test": ("test", "hidden"), "val": ("val",)}
    monkeypatch.setattr(Boxed, "held_out_splits", held_out)
    read = Boxed.read
    targets = {"hidden": {"mug": 1.0} if labelled else None}
    monkeypatch.setattr(
        Boxed,
        "read",
        lambda self, root, split: [replace(e, target=targets.get(split)) for e in read(self, root, split)],
    )
    said = "1 of 1 images have neither a file nor regions; the first is x/4"
    (found,) = check_root(tmp_path, ["boxed"]).tasks
    hidden = next(split for split in found.measured if split.split == "hidden")
    assert found.ok and not hidden.usable
    assert said in (hidden.errors if labelled else hidden.notes)
    assert f"hidden: {'error' if labelled else 'note'}: {said}" in str(found)
    task.splits |= {"val": ["x/5"], "test": ["x/5"]}  # these two are needed, without labels too
    (found,) = check_root(tmp_path, ["boxed"]).tasks
    assert not found.runs and [bool(split.errors) for split in found.measured] == [True, True, labelled]


@pytest.mark.parametrize(
    ("box", "problem", "fatal"),
    [
        ((10.0, 10.0, 10.0, 20.0), "2 boxes have no area, the first of x/1 (example 0)", True),
        ((100.0, 10.0, 120.0, 20.0), "2 boxes lie outside their image", True),
        ((90.0, 10.0, 120.0, 20.0), "2 boxes reach beyond their image", False),
    ],
)
def test_boxes(tmp_path: Path, task: Boxed, box: Box, problem: str, fatal: bool) -> None:
    task.boxes = ((0.0, 0.0, 100.0, 50.0), box)
    report = check_root(tmp_path, ["boxed"])
    train = report.tasks[0].train
    assert any(problem in line for line in (train.errors if fatal else train.notes))
    assert report.ok is not fatal


def test_sizes_that_the_files_state(tmp_path: Path, task: Boxed, monkeypatch: pytest.MonkeyPatch) -> None:
    stated = [("x/1", (100, 50)), ("x/2", (100, 50))]
    monkeypatch.setattr(Boxed, "image_sizes", lambda self, root, split: iter(stated if split == "train" else []))
    assert check_root(tmp_path, ["boxed"]).ok
    stated[1] = "x/2", (200, 50)
    report = check_root(tmp_path, ["boxed"])
    problem = "1 of 2 images do not have the size that the files state; the first is x/2: 200x50 stated, 100x50 found"
    assert not report.ok and report.tasks[0].train.errors[0].startswith(problem)
    for path in (tmp_path / "images" / "x").iterdir():
        path.unlink()
    tiny.write_regions(tmp_path / "regions", {"x/1": 1, "x/2": 2, "x/3": 3})  # of images of 100x100
    assert "2 of 2 images do not have the size" in check_root(tmp_path, ["boxed"]).tasks[0].train.errors[0]
    stated[:] = [("y/1", (100, 50)), ("y/1", (50, 100))]  # neither an image nor regions are here
    assert "y/1: 50x100 stated, 100x50 before" in check_root(tmp_path, ["boxed"]).tasks[0].train.errors[0]


def test_nothing_that_a_file_holds_steers_the_terminal(
    tmp_path: Path, task: Boxed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image ids come from files: one with an escape in it stands in an error, in a note and in a box's place."""
    evil = "x/\x1b[2J\x9b\u202e1\nboxed (Boxed): can run"
    box = (10.0, 10.0, 10.0, 20.0)
    found = [Example("0", "what", (evil,), None, evil, (box,))]
    monkeypatch.setattr(Boxed, "read", lambda self, root, split: found)
    monkeypatch.setattr(Boxed, "image_sizes", lambda self, root, split: iter([(evil, (1, 1)), (evil, (2, 2))]))
    text = str(check_root(tmp_path, ["boxed"]))
    assert "\\x1b[2J" in text and "\x1b" not in text and "\x9b" not in text and "\u202e" not in text
    assert sum(line.startswith("boxed (") for line in text.splitlines()) == 1


def test_given_boxes_without_regions_are_noted(tmp_path: Path, task: Boxed) -> None:
    tiny.write_regions(tmp_path / "regions", {"x/1": 1, "x/2": 2})
    assert check_root(tmp_path, ["boxed"]).tasks[0].train.notes == ("2 examples, officially 3",)
    task.boxes = ((0.0, 0.0, 10.0, 10.0),)
    report = check_root(tmp_path, ["boxed"])
    note = "2 of 2 images have regions, but not yet of their candidate boxes"
    assert note in report.tasks[0].train.notes and report.ok
    assert not any("given" in note for note in report.tasks[0].measured[0].notes)


def test_malformed_files_and_ids_that_occur_twice(tmp_path: Path, task: Boxed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Boxed, "train_split", "broken")
    assert check_root(tmp_path, ["boxed"]).tasks[0].train.errors == ("annotations.json: question 7 has no annotation",)
    monkeypatch.setattr(Boxed, "train_split", "train")
    monkeypatch.setattr(Boxed, "read", lambda self, root, split: [example(1, "x/1"), example(1, "x/2")])
    assert check_root(tmp_path, ["boxed"]).tasks[0].train.errors == ("1 example repeats the id of another example",)


def test_a_root_without_any_task(tmp_path: Path) -> None:
    report = check_root(tmp_path)
    assert not report.ok and "no folder of any task" in str(report)
    with pytest.raises(ConfigError, match="unknown task"):
        check_root(tmp_path, ["vqua"])
    with pytest.raises(DataError, match="data root not found"):
        check_root(tmp_path / "nowhere")


def test_a_file_of_another_splits_size(tmp_path: Path, task: Boxed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Boxed, "official_counts", {"train": (3, 2), "val": (2, 2)})
    report = check_root(tmp_path, ["boxed"])
    assert not report.ok
    assert report.tasks[0].train.errors == ("it has exactly as many examples and images as val: is it that file?",)


def test_empty_texts_are_counted(tmp_path: Path, task: Boxed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Boxed, "read", lambda self, root, split: [Example(split, " ", ("x/1",))])
    report = check_root(tmp_path, ["boxed"])
    assert report.ok and "1 of 1 texts are empty" in report.tasks[0].train.notes
