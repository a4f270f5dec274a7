from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from twelve.errors import ConfigError, DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.formats.records import read_object
from twelve.metrics.retrieval import TIES, gallery_rows
from twelve.tasks.base import get
from twelve.tasks.formats.karpathy import read_captions
from twelve.types.examples import Example


def image(name: str, split: str, first: int, *captions: str) -> dict[str, Any]:
    sentences = [
        {"tokens": caption.lower().split(), "raw": caption, "imgid": crc32(name.encode()), "sentid": first + place}
        for place, caption in enumerate(captions)
    ]
    return {"filename": name, "imgid": crc32(name.encode()), "split": split, "sentids": [], "sentences": sentences}


def write(folder: Path, *images: dict[str, Any]) -> Path:
    path = folder / "flickr30k" / "dataset_flickr30k.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"dataset": "flickr30k", "images": images}))
    return path


def source_of(name: str) -> str:
    return "coco" if name.startswith("COCO_") else "flickr30k"


def test_one_example_a_caption(tmp_path: Path) -> None:
    write(
        tmp_path,
        image("100.jpg", "train", 0, "Two  guys, outside.", "A man."),
        image("200.jpg", "test", 10, "A DOG ."),
        image("300.jpg", "restval", 20, "A cat."),
    )
    root, task = DataRoot(tmp_path), get("flickr30k")
    train = task.read(root, "train")
    assert [(e.id, e.text, e.images, e.group) for e in train] == [
        ("0", "Two  guys, outside.", ("flickr30k/100",), "flickr30k/100"),
        ("1", "A man.", ("flickr30k/100",), "flickr30k/100"),
        ("20", "A cat.", ("flickr30k/300",), "flickr30k/300"),  # restval counts as train
    ]
    assert [e.text for e in task.read(root, "test")] == ["A DOG ."]
    with pytest.raises(MissingData, match="contains no example of split 'val'"):
        task.read(root, "val")


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_that_is_named_twice_is_refused(tmp_path: Path, split: str) -> None:
    path = write(tmp_path, image("7.jpg", "test", 0, "A dog."), image("x/7.jpg", split, 10, "A cat."))
    for read in ("train", "test"):
        with pytest.raises(DataError, match=rf"images\[1\].*flickr30k/7 occurs twice, in splits 'test' and '{split}'"):
            read_captions(read_object(path), read, source_of)


def test_coco_file_names_belong_to_coco(tmp_path: Path) -> None:
    path = write(tmp_path, image("COCO_val2014_000000000042.jpg", "test", 0, "A red kite."))
    assert read_captions(read_object(path), "test", source_of)[0].images == ("coco/42",)


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (
            [image("1.jpg", "val", 0, "a"), image("2.jpg", "val", 0, "b")],
            r"images\[1\]\.sentences\[0\]\]: sentid 0",
        ),
        ([{"filename": "1.jpg", "split": "val"}], r"images\[0\]\]: field 'sentences' is missing"),
        ([{"filename": "1.jpg"}], "field 'split' is missing"),
        ([image("1.jpg", "val", 0, "a") | {"filename": 1}], "'filename' must be a string, found int 1"),
        (["1.jpg"], "expected an object with fields, found str"),
    ],
)
def test_malformed_records(tmp_path: Path, images: list[Any], problem: str) -> None:
    write(tmp_path, *images)
    with pytest.raises(DataError, match=problem):
        get("flickr30k").read(DataRoot(tmp_path), "val")


def test_galleries_are_those_of_the_protocols() -> None:
    task = get("coco")
    found = {
        name: (task.protocol("test", name).galleries, task.protocol("test", name).gallery) for name in task.protocols
    }
    assert found == {"1k": (1, 1000), "1k-5fold": (5, 1000), "5k": (1, 5000), "all": (1, None)}
    assert task.protocol("test") == task.protocol("test", "1k") and task.protocol("test").ties == TIES
    assert "the first 1,000 images" in task.protocol("test").note
    assert get("flickr30k").protocol("test").name == "all"
    small = task.protocol("test", gallery=100)
    assert (small.name, small.gallery) == ("100 images", 100) and "the first 100 images" in small.note
    with pytest.raises(ConfigError, match=r"COCO retrieval has no protocol '10k'.* -> choose among 1k, 1k-5fold"):
        task.protocol("test", "10k")
    with pytest.raises(ConfigError, match="NLVR2 ranks no gallery"):
        get("nlvr2").protocol("dev", gallery=100)


def ranked(images: int, start: int = 0) -> tuple[list[Example], SimpleNamespace]:
    """One caption for each of some images, all ranked first but the last."""
    examples = [Example(f"{k}", "a", (f"x/{k}",), None, f"x/{k}") for k in range(start, start + images)]
    scores = np.eye(images, dtype=np.float32)
    scores[-1, -1] = -1
    names = tuple(each.images[0] for each in examples)
    found = SimpleNamespace(
        scores=scores, caption_ids=tuple(e.id for e in examples), image_ids=names, target=np.arange(images)
    )
    return examples, found


@pytest.mark.parametrize(
    ("task", "split", "protocol", "images", "metric"),
    [
        ("coco", "test", {}, 1000, "R@1"),
        ("coco", "test", {}, 999, "R@1 of 999"),
        ("coco", "test", {"name": "5k"}, 1000, "R@1 of 1000"),
        ("coco", "test", {"gallery": 100}, 100, "R@1 of 100"),
        ("coco", "test", {"gallery": 100}, 40, "R@1 of 40"),
        ("flickr30k", "test", {}, 1000, "R@1"),
        ("flickr30k", "val", {}, 1014, "R@1"),
        ("flickr30k", "val", {}, 247, "R@1 of 247"),
        ("conceptual_captions", "val", {}, 1000, "R@1"),
    ],
)
def test_only_a_published_gallery_gives_the_published_metric(
    task: str, split: str, protocol: dict[str, Any], images: int, metric: str
) -> None:
    found = get(task).measure_by(get(task).protocol(split, **protocol), *ranked(images))
    assert found.primary == metric and found.headline == pytest.approx(100 * (images - 1) / images)
    ending = metric.removeprefix("R@1")
    assert {name.endswith(ending) for name in found.metrics} == {True} and f"median rank{ending}" in found.metrics


def test_several_galleries_are_averaged() -> None:
    task = get("coco")
    parts = [ranked(1000, 1000 * part) for part in range(5)]
    parts[0][1].scores[:500] = 0
    found = task.measure_by(task.protocol("test", "1k-5fold"), [e for e, _ in parts], [s for _, s in parts])
    assert found.headline == found.metrics["R@1"] == pytest.approx((49.9 + 4 * 99.9) / 5)
    assert len(found.per_example) == len(found.groups) == 5000 and found.per_example.mean() == pytest.approx(0.899)


def test_measure() -> None:
    examples = [Example(str(k), f"caption {k}", (f"x/{k // 2}",), None, f"x/{k // 2}") for k in range(6)]
    scores = np.array([[3, 1, 2], [1, 3, 2], [0, 1, 0], [0, 1, 1], [0, 0, 1], [2, 1, 0]], np.float32)
    predicted = SimpleNamespace(
        scores=scores[::-1],
        caption_ids=[e.id for e in examples][::-1],
        image_ids=["x/0", "x/1", "x/2"],
        target=(np.arange(6) // 2)[::-1],
    )
    found = get("flickr30k").measure(examples, predicted)
    assert found.per_example.tolist() == [1, 0, 1, 0, 1, 0]  # caption 3 ties
    assert found.headline == found.metrics["R@1"] == 50
    assert (found.metrics["R@5"], found.metrics["median rank"]) == (100, 1)
    assert found.metrics["mean rank"] == pytest.approx(11 / 6)
    assert found.metrics["image to text R@1"] == pytest.approx(100 / 3)
    assert found.groups == ["x/0", "x/0", "x/1", "x/1", "x/2", "x/2"]
    with pytest.raises(ValueError, match="expected scores of exactly the example captions"):
        get("flickr30k").measure(examples[:5], predicted)


@pytest.mark.realdata
def test_real_gallery_has_a_hundred_images_and_five_hundred_captions(realdata: Path) -> None:
    examples = get("flickr30k").read(DataRoot(realdata), "val")
    rows = gallery_rows([e.images[0] for e in examples], 100)
    assert (len(rows), len({examples[row].images[0] for row in rows})) == (500, 100)
