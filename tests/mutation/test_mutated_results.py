"""Result files and the truth they are measured against, damaged: refused with a clear error, or scored as they are."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bombs
import harness
import numpy as np
import pytest
import roots
import tiny
import tiny_others
from harness import LEAST, Reader

from twelve.errors import DataError
from twelve.score import Scores, as_json, score, table

Case = tuple[str, list[Path], list[Path], str | None]
"""Task, truth, predictions, protocol."""
_NUMBERS = (6, 7)
"""The images of the measured split of :func:`roots.make`."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roots.make(tmp_path_factory.mktemp("results"))


def _write(folder: Path, tree: Any, name: str = "results.json") -> Path:
    tiny.write_json(folder / name, tree)
    return folder / name


def _vqa(root: Path) -> Case:
    rows = [{"question_id": 1000 * number, "answer": "red"} for number in _NUMBERS]
    names = ("v2_mscoco_val2014_annotations.json", "v2_OpenEnded_mscoco_val2014_questions.json")
    return "vqa", [root / "vqa" / name for name in names], [_write(root, rows)], None


def _gqa(root: Path) -> Case:
    questions = json.loads((root / "gqa/testdev_balanced_questions.json").read_text())
    for question in questions.values():
        question |= {"annotations": {"question": {"1": "11"}, "fullAnswer": {"2": "12"}, "answer": {}}}
    thing = {"name": "thing", "x": 0, "y": 0, "w": 50, "h": 50}
    scenes = {
        q["imageId"]: {"width": 100, "height": 90, "objects": {"11": thing, "12": thing}} for q in questions.values()
    }
    choices = {key: {"valid": ["red", "blue"], "plausible": ["red"]} for key in questions}
    truth = [_write(root, questions, "all.json"), _write(root, choices, "choices.json"), _write(root, scenes, "s.json")]
    attentions = [{"questionId": key, "attention": [[0.5, 0.0], [0.25, 0.25]]} for key in questions]
    answers = [{"questionId": key, "prediction": "red"} for key in questions]
    return "gqa", truth, [_write(root, answers), _write(root, attentions, "attentions.json")], None


def _vg_qa(root: Path) -> Case:
    questions = [{"qa_id": number, "question": "What?", "answer": "Two lamps."} for number in range(30)]
    rows = [{"qa_id": number, "answer": "2 lamps"} for number in range(27, 30)]
    return "vg_qa", [_write(root, [{"id": 4, "qas": questions}], "qa.json")], [_write(root, rows)], None


def _captions(root: Path, task: str) -> tuple[Path, list[int], list[int]]:
    """(truth, ids of val's captions, ids of its images)."""
    images = {"coco": list(_NUMBERS), "flickr30k": [9000 + number for number in _NUMBERS]}[task]
    return root / task / f"dataset_{task}.json", [5 * n + place for n in _NUMBERS for place in range(5)], images


def _matrix(root: Path) -> Case:
    truth, captions, images = _captions(root, "coco")
    scores = [[round(1.5 * c - i, 2) for i in range(len(images))] for c in range(len(captions))]
    return "coco", [truth], [_write(root, {"scores": scores, "caption_ids": captions, "image_ids": images})], "all"


def _ranking(root: Path) -> Case:
    truth, captions, images = _captions(root, "flickr30k")
    text, ranked = {str(key): images for key in captions}, {str(key): captions for key in images}
    return "flickr30k", [truth], [_write(root, {"text_to_image": text, "image_to_text": ranked})], None


def _refcoco(root: Path) -> Case:
    truth = [root / "refcoco" / name for name in ("refs(unc).p", "instances.json")]
    box = list(tiny_others.BOXES[0])
    ids = [3 * number + place for number in _NUMBERS for place in range(3)]
    rows = [{"sent_id": key, **({"box": box} if key % 2 else {"boxes": [box, box]})} for key in ids]
    return "refcoco", truth, [_write(root, rows)], None


def _google(root: Path) -> Case:
    boxes = {str(n): {"image_id": 1, "bbox": [5, 5, 20, 10], "refexp_ids": [n]} for n in range(6)}
    truth = {"images": {"1": {"width": 90, "height": 60}}, "annotations": boxes, "refexps": {}}
    rows = [{"annotation_id": n, "refexp_id": n, "predicted_bounding_boxes": [[5, 5, 20, 9.5]]} for n in range(6)]
    return "refcocog", [_write(root, truth, "google.json")], [_write(root, rows)], "mattnet"


def _visual7w(root: Path) -> Case:
    rows = [
        {"question": "?", "qa_id": 2 * number + place, "candidates": [{"answer": 4 * number}]}
        for number in _NUMBERS
        for place in range(2)
    ]
    return "visual7w", [root / "visual7w/dataset_v7w_pointing.json"], [_write(root, rows)], None


def _guesswhat(root: Path) -> Case:
    games = {"6": 60, "7": {"70": 0.5, "71": 0.25, "72": -1.5}}
    return "guesswhat", [root / "guesswhat/guesswhat.valid.jsonl"], [_write(root, games)], "all"


def _nlvr2(root: Path) -> Case:
    rows = [json.loads(line) for line in (root / "nlvr2/dev.json").read_text().splitlines()]
    tiny.write_lines(root / "balanced_dev.json", rows[:2])
    (root / "examples.txt").write_text(f"{rows[0]['sentence']}\n- colours\n* counting\n\n")
    (root / "results.csv").write_text(
        "".join(f"{row['identifier']},{place % 2 == 0}\n" for place, row in enumerate(rows))
    )
    truth = [root / "nlvr2/dev.json", root / "balanced_dev.json", root / "examples.txt"]
    return "nlvr2", truth, [root / "results.csv"], None


def _pairs(root: Path) -> list[str]:
    return [json.loads(line)["pairID"] for line in (root / "snli_ve/snli_ve_dev.jsonl").read_text().splitlines()]


def _snli_lines(root: Path) -> Case:
    tiny.write_lines(root / "results.jsonl", [{"pairID": key, "prediction": "neutral"} for key in _pairs(root)])
    return "snli_ve", [root / "snli_ve/snli_ve_dev.jsonl"], [root / "results.jsonl"], None


def _snli_mapping(root: Path) -> Case:
    return "snli_ve", [root / "snli_ve/snli_ve_dev.jsonl"], [_write(root, dict.fromkeys(_pairs(root), "neutral"))], None


def _snli_in_order(root: Path) -> Case:
    rows = [{"label": "contradiction"} for _ in _pairs(root)]
    return "snli_ve", [root / "snli_ve/snli_ve_dev.jsonl"], [_write(root, rows)], None


CASES: dict[str, Callable[[Path], Case]] = {
    "vqa": _vqa,
    "gqa": _gqa,
    "vg_qa": _vg_qa,
    "matrix": _matrix,
    "ranking": _ranking,
    "refcoco": _refcoco,
    "google": _google,
    "visual7w": _visual7w,
    "guesswhat": _guesswhat,
    "nlvr2": _nlvr2,
    "snli_ve lines": _snli_lines,
    "snli_ve mapping": _snli_mapping,
    "snli_ve in order": _snli_in_order,
}
_TOLERATED: dict[str, dict[str, str]] = {
    "gqa": {
        "*.attention[][]: *": "attention is any number",
        "*.semantic: last one twice": "steps of a program may repeat",
        "*.annotations.question{}: absent": "any number of things may be spoken of",
    },
    "matrix": {
        f"*.scores[][]: {what}": "scores are of any size"
        for what in ("1e30", "1e400", "Infinity", "-Infinity", "number")
    },
    "ranking": {
        "$.*_to_*: absent": "one direction may be ranked alone",
        "*{}[]: *": "what is not in the gallery is passed over",
    },
    "visual7w": {"*.candidates[].answer: *text": "an answer may be words"},
    "google": {"*.predicted_bounding_boxes: last one twice": "any number of boxes may be predicted"},
    "refcoco": {"*.boxes: last one twice": "any number of boxes may be predicted"},
}
"""Case -> pattern of mutations -> why the changed file is read."""


def _sane(found: Scores) -> None:
    assert found.examples > 0 and found.groups > 0
    for name, number in found.numbers.items():
        assert math.isfinite(number.value), f"{name} is {number.value}"
    assert json.loads(as_json(found)) and table(found)


@pytest.mark.parametrize("name", CASES)
def test_damaged_results_and_truth(name: str, made: Path, tmp_path: Path) -> None:
    root = shutil.copytree(made, tmp_path / "root", ignore=shutil.ignore_patterns("regions"))
    task, truth, predictions, protocol = CASES[name](root)
    reader = Reader(
        f"results of {name}",
        (*predictions, *truth),
        lambda: score(task, truth, predictions, protocol),
        _sane,
        _TOLERATED.get(name, {}),
    )
    tally = harness.torture(reader)
    assert sum(tally.values()) >= LEAST and min(tally.values()) > 0


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # headers of arrays are parsed as Python
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_damaged_archives_of_scores(suffix: str, made: Path, tmp_path: Path) -> None:
    official, captions, images = _captions(made, "coco")
    truth = tmp_path / "dataset_coco.json"  # without ids the split is test
    truth.write_text(official.read_text().replace('"val"', '"test"'))
    scores = np.linspace(0, 1, len(captions) * len(images)).reshape(len(captions), len(images))
    path = tmp_path / f"scores{suffix}"
    if suffix == ".npz":
        np.savez(path, scores=scores, caption_ids=captions, image_ids=images)
    else:
        np.save(path, scores)
    tally = harness.torture(Reader(f"scores{suffix}", (path,), lambda: score("coco", [truth], [path], "all"), _sane))
    assert sum(tally.values()) >= LEAST and min(tally.values()) > 0
    for name, bomb in bombs.archives():
        path.write_bytes(bomb)
        with pytest.raises(DataError) as caught, harness.watched(), harness.limited():
            score("coco", [truth], [path], "all")
        assert caught.value.file == path and caught.value.remedy, name
