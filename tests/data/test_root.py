from __future__ import annotations

import json
from pathlib import Path

import pytest

from twelve.config import load
from twelve.data.examples.reading import read_examples
from twelve.data.files_there import check_annotations
from twelve.errors import ConfigError, DataError, MissingData
from twelve.formats.data_root import DataRoot, image_key
from twelve.tasks.base import get


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "vqa").mkdir()
    for name in (
        "coco/val2014/COCO_val2014_000000262148.jpg",
        "coco/train2017/000000000009.jpg",
        "nlvr2/dev/dev-850-0-img0.png",
        "vg/VG_100K_2/4.JPG",
        "vg/readme.txt",
    ):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("COCO_val2014_000000262148.jpg", "262148"),
        ("val2014/COCO_train2014_000000000003.jpg", "3"),
        ("000000000009.jpg", "9"),
        ("1000092795.jpg", "1000092795"),
        ("1000092795", "1000092795"),
        ("07333408", "07333408"),
        ("n161313.jpg", "n161313"),
        ("v7w_2315000.jpg", "2315000"),
        ("v7w_2315000", "2315000"),
        ("v7w_x.jpg", "v7w_x"),
        ("dev-850-0-img0.png", "dev-850-0-img0"),
        ("some.photo.JPEG", "some.photo"),
        ("some.photo.WebP", "some.photo"),
        ("some.photo", "some.photo"),
    ],
)
def test_key_of_an_image(name: str, key: str) -> None:
    assert image_key(name) == key


def test_missing_folder_and_file_say_where_they_were_looked_for(root: Path) -> None:
    data = DataRoot(root)
    with pytest.raises(MissingData, match=r"nlvr2.*no folder for nlvr2 -> make it and put dev\.json from https://x"):
        data.file("nlvr2", "dev.json", page="https://x")
    (root / "vqa" / "questions.jsn").write_text("")
    with pytest.raises(MissingData, match=r"vqa/questions\.json: no such file -> download.*mean \"questions\.jsn\""):
        data.file("vqa", "questions.json")


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="data root not found"):
        DataRoot(tmp_path / "nowhere")


def test_source_is_a_rule(root: Path) -> None:
    assert DataRoot(root).image_source(get("refcoco")) == "coco"
    assert DataRoot(root, {"refcoco": "flickr30k"}).image_source(get("refcoco")) == "flickr30k"
    assert DataRoot(root, {"refcoco": "flickr30k"}).image_source(get("refcoco"), "COCO_train2014_1.jpg") == "coco"
    (root / "sources.json").write_text(json.dumps({"refcoco": "mine", "vqa": "rooms"}))
    data = DataRoot(root, {"refcoco": "flickr30k"})
    assert data.image_source(get("refcoco")) == "flickr30k"
    assert data.image_source(get("vqa")) == "rooms"
    with pytest.raises(ConfigError, match="unknown task"):
        data.image_source(get("vqaa"))


def test_damaged_sources_file(root: Path) -> None:
    (root / "sources.json").write_text('{"vqa": 1}')
    with pytest.raises(DataError, match=r"sources\.json \[vqa\]: field 'vqa' must be a string, found int 1"):
        DataRoot(root)


def test_images_are_found_however_they_are_nested(root: Path) -> None:
    data = DataRoot(root)
    assert dict(data.images("coco")) == {
        "coco/9": root / "images/coco/train2017/000000000009.jpg",
        "coco/262148": root / "images/coco/val2014/COCO_val2014_000000262148.jpg",
    }
    assert data.image_file("nlvr2/dev-850-0-img0") == root / "images/nlvr2/dev/dev-850-0-img0.png"
    assert data.image_file("vg/4") == root / "images/vg/VG_100K_2/4.JPG"
    assert data.image_file("vg/readme") is None
    assert data.image_file("elsewhere/1") is None
    with pytest.raises(MissingData, match="no images of this source"):
        list(data.images("elsewhere"))


def test_a_file_is_no_data_root(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingData, match="expected the folder of a data root, found a file"):
        DataRoot(tmp_path / "file")


def test_a_damaged_file_of_a_drawn_world_is_drawn_again(tmp_path: Path) -> None:
    folder = tmp_path / "nlvr2"
    folder.mkdir()
    (folder / "dev.json").write_text("{")
    task, root = get("nlvr2"), DataRoot(tmp_path)
    for drawn, remedy in ((False, "download"), (True, f"remove {tmp_path} and generate the world again")):
        if drawn:
            (tmp_path / "microworld.json").write_text("{}")
        for split, problem in (("dev", "one JSON object a line"), ("train", "no such file")):
            with pytest.raises(DataError, match=f"{problem}.* -> .*{remedy}") as caught:
                read_examples(task, root, split)
            assert isinstance(caught.value, MissingData) is (split == "train")


@pytest.mark.parametrize(("scale", "option"), [(1.0, ""), (0.05, " --scale 0.05")])
def test_a_microworld_that_was_not_generated_is_told_how(scale: float, option: str, tmp_path: Path) -> None:
    settings = [f"data={tmp_path / 'data'}", f"run={tmp_path / 'run'}", f"microworld.scale={scale}", "seed=3"]
    with pytest.raises(MissingData, match=rf"-> generate it: .* --out \S+/data --seed 3{option}; or run twelve quicks"):
        check_annotations(load("quickstart.yaml", settings))
    with pytest.raises(MissingData, match="-> name a folder that exists"):
        check_annotations(load("real-sample.yaml", settings[:2]))
