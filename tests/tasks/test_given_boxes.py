"""Tasks that give candidates: Visual7W and GuessWhat?!, against the recorded files of both (tests/goldens/metrics)."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from twelve.errors import DataError, MissingData
from twelve.formats.data_root import DataRoot
from twelve.tasks.base import get
from twelve.types.examples import Example


def chosen(*indices: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(value=index) for index in indices]


# --- Visual7W -------------------------------------------------------------------------------------------------------
def v7w(root: Path, *boxes: dict[str, Any], dataset: Any = "visual7w-pointing", **changes: Any) -> DataRoot:
    sizes = [(9, 10, 20), (3, -1, 5), (7, 0, -1), (5, 2, 2)]  # box id, x, y
    plain = [{"box_id": key, "name": "cup", "x": x, "y": y, "width": 30, "height": 40} for key, x, y in sizes]
    pair = {"qa_id": 1, "question": "Which cup?", "type": "which", "answer": 7, "multiple_choices": [9, 3, 5]} | changes
    image = {"image_id": 4, "filename": "v7w_4.jpg", "split": "val", "qa_pairs": [pair]}
    (root / "visual7w").mkdir(exist_ok=True)
    content = {"dataset": dataset, "boxes": list(boxes) or plain, "images": [image]}
    (root / "visual7w" / "dataset_v7w_pointing.json").write_text(json.dumps(content))
    return DataRoot(root)


def test_candidates_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    root = v7w(tmp_path)
    (example,) = get("visual7w").read(root, "val")
    assert example == Example(
        id="1",
        text="Which cup?",
        images=("vg/4",),
        target=2,
        group="vg/4",
        candidates=((0, 5, 29, 45), (2, 2, 32, 42), (0, 0, 30, 39), (10, 20, 40, 60)),
        facts={"box_ids": (3, 5, 7, 9)},
    )
    assert get("visual7w").candidate_boxes(root, "val") == {"vg/4": list(example.candidates)}
    with pytest.raises(MissingData, match="contains no example of split 'train'"):
        get("visual7w").read(root, "train")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer": 8}, r"images\[0\]\.qa_pairs\[0\]\]: box 8 is not in the file's list of boxes"),
        ({"multiple_choices": ["9"]}, "'multiple_choices' must be whole numbers, found str '9'"),
        ({"question": 1}, "'question' must be a string"),
    ],
)
def test_malformed_pointing_questions(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        get("visual7w").read(v7w(tmp_path, **change), "val")


@pytest.mark.parametrize("dataset", ["visual7w-pointing", "v7w_pointing", "Visual7W", "pointing"])
def test_what_the_file_may_call_itself(tmp_path: Path, dataset: str) -> None:
    assert get("visual7w").read(v7w(tmp_path, dataset=dataset), "val")


@pytest.mark.parametrize("dataset", ["visual7w-telling", "v7w_telling", "coco", "", 7, None])
def test_a_file_of_another_dataset(tmp_path: Path, dataset: Any) -> None:
    with pytest.raises(DataError, match=r"dataset_v7w_pointing\.json \[dataset\]: .*(expected a|must be a string)"):
        get("visual7w").read(v7w(tmp_path, dataset=dataset), "val")


def test_an_image_id_that_is_not_its_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images\[0\]\.qa_pairs\[0\]\]: image_id is 5, .* file is 'v7w_4\.jpg'"):
        get("visual7w").read(v7w(tmp_path, image_id=5), "val")
    assert get("visual7w").read(v7w(tmp_path, image_id=4), "val")
    file = tmp_path / "visual7w" / "dataset_v7w_pointing.json"
    file.write_text(file.read_text().replace("v7w_4.jpg", "v7w_6.jpg"))
    with pytest.raises(DataError, match=r"\[images\[0\]\]: image_id is 4, but the image's file is 'v7w_6\.jpg'"):
        get("visual7w").read(DataRoot(tmp_path), "val")


def test_a_box_of_negative_size(tmp_path: Path) -> None:
    boxes = [{"box_id": key, "x": 1, "y": 1, "width": -2, "height": 4} for key in (3, 5, 7, 9)]
    with pytest.raises(DataError, match=r"boxes\[\d\]\]: the box has a negative size, -2x4"):
        get("visual7w").read(v7w(tmp_path, *boxes), "val")


@pytest.mark.parametrize("name", ["val", "test"])
def test_visual7w_measures_as_the_toolkit(goldens: Path, tmp_path: Path, name: str) -> None:
    folder = goldens / "metrics" / "visual7w"
    (tmp_path / "visual7w").mkdir()
    shutil.copy(folder / "dataset_v7w_pointing.json", tmp_path / "visual7w")
    expected = json.loads((folder / "expected.json").read_text())["expected"][name]
    rows = json.loads((folder / expected["results_file"]).read_text())
    answers = {str(row["qa_id"]): row["candidates"][0]["answer"] for row in rows}
    examples = get("visual7w").read(DataRoot(tmp_path), name)
    assert all(
        len(example.candidates) == 4 and min(min(box) for box in example.candidates) >= 0 for example in examples
    )
    indices = [example.facts["box_ids"].index(answers[example.id]) for example in examples]
    found = get("visual7w").measure(examples, chosen(*indices))
    assert (found.per_example.sum(), len(found.groups)) == (expected["correct"], expected["total"])


# --- GuessWhat?! ----------------------------------------------------------------------------------------------------
def game(**changes: Any) -> dict[str, Any]:
    things = [{"id": key, "bbox": [key, 0, 10.5, 20], "category": "cup"} for key in (1002, 999, 1001)]
    turns = [{"id": 2, "question": "Is it a cup?", "answer": "Yes"}, {"id": 1, "question": "Left?", "answer": "N/A"}]
    image = {"id": 42, "file_name": "COCO_val2014_000000000042.jpg", "width": 1280, "height": 480}
    return {"id": 5, "status": "success", "object_id": 1001, "image": image, "objects": things, "qas": turns} | changes


def write(root: Path, *games: dict[str, Any], packed: bool = True) -> DataRoot:
    (root / "guesswhat").mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in games).encode()
    name = "guesswhat.valid.jsonl" + (".gz" if packed else "")
    (root / "guesswhat" / name).write_bytes(gzip.compress(text) if packed else text)
    return DataRoot(root)


@pytest.mark.parametrize("packed", [True, False])
def test_a_game(tmp_path: Path, packed: bool) -> None:
    root = write(tmp_path, game(), packed=packed)
    (example,) = get("guesswhat").read(root, "valid")
    assert example == Example(
        id="5",
        text="start Is it a cup? answer Yes stop start Left? answer N/A stop",
        images=("coco/42",),
        target=1,
        group="coco/42",
        candidates=((999, 0, 1009.5, 20), (1001, 0, 1011.5, 20), (1002, 0, 1012.5, 20)),
        facts={"status": "success", "object_ids": ("999", "1001", "1002")},
    )
    with pytest.raises(MissingData, match=r"guesswhat\.test\.jsonl\.gz: no such file"):
        get("guesswhat").read(root, "test")


def test_damaged_archive(tmp_path: Path) -> None:
    root = write(tmp_path, game())
    path = tmp_path / "guesswhat" / "guesswhat.valid.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"valid\.jsonl\.gz cannot be read"):
        get("guesswhat").read(root, "valid")
    path.write_bytes(b"{}")
    with pytest.raises(DataError, match="cannot be read"):
        get("guesswhat").read(root, "valid")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"object_id": 3}, r"line 1\]: object_id 3 is not among the game's 3 objects"),
        ({"objects": {"x": {}}}, "expected an object id as key, found 'x'"),
        ({"objects": {"1001": {"bbox": [1, 2, 3]}}}, r"line 1\.objects\.1001\]: field 'bbox' must be 4 finite numbers"),
        ({"objects": [{"id": 1001, "bbox": [1, 2, -3, 4]}]}, "a negative size"),
        ({"image": {}}, r"line 1\.image\]: field 'file_name' is missing"),
        (
            {"image": {"file_name": "COCO_val2014_000000000042.jpg", "width": 1001, "height": 480}},
            r"line 1\]: object 1002 lies outside its image of 1001x480 pixels, x 1002 to 1012\.5, y 0 to 20",
        ),
        (
            {"image": {"file_name": "COCO_val2014_000000000042.jpg", "width": 0, "height": 480}},
            r"line 1\.image\]: expected an image's width and height in pixels, found 0x480",
        ),
        ({"qas": [{"id": 1, "answer": "Yes"}]}, "field 'question' or 'q' is missing"),
    ],
)
def test_malformed_games(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        get("guesswhat").read(write(tmp_path, game(**change)), "valid")


def test_a_game_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2\]: game 5 occurs twice"):
        get("guesswhat").read(write(tmp_path, game(), game()), "valid")


def release(goldens: Path, name: str, root: Path, split: str) -> list[Example]:
    if not (root / "guesswhat").is_dir():
        shutil.copytree(goldens / "metrics" / "guesswhat" / name, root / "guesswhat")
    return get("guesswhat").read(DataRoot(root), split)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_both_layouts_hold_the_same_games(goldens: Path, tmp_path: Path, split: str) -> None:
    early = release(goldens, "release_a_2017", tmp_path / "a", split)
    assert early == release(goldens, "release_b_later", tmp_path / "b", split)
    assert len(early) == {"train": 40, "valid": 90, "test": 120}[split]


@pytest.mark.parametrize("name", ["release_a_2017", "release_b_later"])
@pytest.mark.parametrize("split", ["valid", "test"])
def test_guesswhat_measures_as_the_official_program(goldens: Path, tmp_path: Path, name: str, split: str) -> None:
    recorded = json.loads((goldens / "metrics" / "guesswhat" / "expected.json").read_text())["expected"][split]
    selected = {str(row["dialogue_id"]): str(row["selected_object_id"]) for row in recorded["games"]}
    examples = release(goldens, name, tmp_path, split)
    indices = [example.facts["object_ids"].index(selected[example.id]) for example in examples]
    found = get("guesswhat").measure(examples, chosen(*indices))
    golden = recorded["status_success"]
    assert found.metrics["error"] == pytest.approx(100 * golden["error_one_batch"], abs=1e-5)
    assert found.headline == pytest.approx(100 * golden["accuracy_one_batch"], abs=1e-5)
    assert len(found.per_example) == len(found.groups) == golden["n_games"] < len(examples)
