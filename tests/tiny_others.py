"""The seven other tasks in the data root that tiny.make writes, on the same images; some as Visual Genome's copies.

The boxes that Visual7W and GuessWhat?! give are a little smaller than the images' regions, so that a candidate is
found among the regions of given boxes alone (``regions/<source>/given``).
"""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import tiny

from twelve.regions.store.arrow_format import schema
from twelve.regions.store.region_file import GIVEN
from twelve.regions.store.resumable_writer import PartWriter
from twelve.types.regions import Regions

GENOME = 7000
"""Added to an image's number: its id in Visual Genome."""
BOXES = ((0, 0, 60, 60), (60, 0, 40, 40), (60, 50, 30, 40))
"""x, y, width, height of every image's regions."""
CANDIDATES = tuple((x + 2, y + 2, width - 4, height - 4) for x, y, width, height in BOXES)
"""x, y, width, height of the boxes that datasets give."""
REPORTS = {
    "gqa": "testdev_balanced",
    "vg_qa": "val",
    "coco": "val",
    "refcoco+": "val",
    "refcocog": "val",
    "visual7w": "val",
    "guesswhat": "valid",
}
ALL_TASKS = (*tiny.TASKS, *REPORTS)


def settings(root: Path, task: str) -> dict[str, Any]:
    """The part of a configuration that names a task."""
    known: dict[str, dict[str, Any]] = tiny.tree(root, root)["tasks"]
    return known.get(task) or {"test_split": REPORTS[task], "batch_size": 8, "learning_rate": 3e-3, "max_text": 12}


def make(root: Path, train: int = 24, val: int = 8) -> Path:
    """Write tiny.make's data root, and the files and regions of the other seven tasks."""
    tiny.make(root, train, val)
    numbers = {"train": range(train), "val": range(train, train + val)}
    _gqa(root / "gqa", numbers)
    _vg_qa(root / "vg_qa", numbers)
    _captions(root / "coco", numbers)
    _phrases(root / "refcoco+", "unc", numbers)
    _phrases(root / "refcocog", "umd", numbers)
    _visual7w(root / "visual7w", numbers)
    _guesswhat(root / "guesswhat", numbers)
    everything = [number for those in numbers.values() for number in those]
    images = {f"vg/{GENOME + number}": number for number in everything}
    tiny.write_regions(root / "regions", images | {f"vg/n{number}": number for number in numbers["val"]})
    _given_regions(root / "regions" / "vg", images)
    _given_regions(root / "regions" / "coco", {f"coco/{number}": number for number in everything})
    return root


def _given_regions(folder: Path, ids: dict[str, int]) -> None:
    """The regions of the boxes that datasets give, as an extraction writes them: without scores and classes."""
    x, y, width, height = np.array(CANDIDATES, dtype=np.float32).T
    boxes = np.stack((x, y, x + width, y + height), axis=1)
    images = [Regions(image, 100, 100, boxes, tiny.regions_of(image, number).features) for image, number in ids.items()]
    columns = schema(
        feature_size=tiny.FEATURES,
        scores=False,
        class_ids=False,
        metadata={"fingerprint": "tiny-1", "backbone": "tiny"},
    )
    with PartWriter(folder / GIVEN / "tiny.arrow", columns) as writer:
        writer.write(images)
        writer.finish({})


def _colour(number: int, place: int = 0) -> str:
    return tiny.COLOURS[(tiny.colour_of(number) + place) % len(tiny.COLOURS)]


def _file(number: int) -> str:
    return f"COCO_train2014_{number:012d}.jpg"


def _gqa(folder: Path, numbers: dict[str, range]) -> None:
    def question(number: int, image: str) -> dict[str, Any]:
        return {
            "question": "what colour is it ?",
            "imageId": image,
            "isBalanced": True,
            "answer": _colour(number),
            "types": {"structural": "query", "semantic": "attr", "detailed": "color"},
            "groups": {"global": "color", "local": None},
            "entailed": [],
            "semantic": [{"operation": "query", "dependencies": [], "argument": "color"}],
        }

    for split, those in numbers.items():
        rows = {f"0{number}": question(number, str(GENOME + number)) for number in those}
        tiny.write_json(folder / f"{split}_balanced_questions.json", rows)
    rows = {f"20{number}": question(number, f"n{number}") for number in numbers["val"]}
    tiny.write_json(folder / "testdev_balanced_questions.json", rows)


def _vg_qa(folder: Path, numbers: dict[str, range]) -> None:
    rows, images = [], []
    for number in (number for those in numbers.values() for number in those):
        asked = {"qa_id": number, "question": "what colour is it ?", "answer": f"{_colour(number).title()}."}
        rows.append({"id": GENOME + number, "qas": [asked]})
        images.append({"image_id": GENOME + number, "coco_id": number, "url": "", "width": 100, "height": 100})
    tiny.write_json(folder / "question_answers.json", rows)
    tiny.write_json(folder / "image_data.json", images)


def _captions(folder: Path, numbers: dict[str, range]) -> None:
    images = []
    for split, those in numbers.items():
        for number in those:
            texts = [text.format(_colour(number)) for text in ("a {} thing", "it is {}", "very {}", "the {} one", "{}")]
            images.append(
                {
                    "filepath": "train2014",
                    "filename": _file(number),
                    "cocoid": number,
                    "split": split,
                    "sentences": [{"raw": text, "sentid": 5 * number + place} for place, text in enumerate(texts)],
                }
            )
    tiny.write_json(folder / "dataset_coco.json", {"dataset": "coco", "images": images})


def _phrases(folder: Path, split_by: str, numbers: dict[str, range]) -> None:
    refs: list[dict[str, Any]] = []
    instances: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    for split, those in numbers.items():
        for number in those:
            instances["images"].append({"id": number, "file_name": _file(number), "width": 100, "height": 100})
            for place, box in enumerate(BOXES):
                ann, text = 3 * number + place, f"the {_colour(number, place)} one"
                instances["annotations"].append({"id": ann, "image_id": number, "category_id": 1, "bbox": box})
                sentence = {"sent_id": ann, "sent": text, "raw": text, "tokens": text.split()}
                refs.append({"ref_id": ann, "ann_id": ann, "image_id": number, "split": split, "sentences": [sentence]})
    tiny.write_json(folder / "instances.json", instances)
    (folder / f"refs({split_by}).p").write_bytes(pickle.dumps(refs, protocol=0))


def _visual7w(folder: Path, numbers: dict[str, range]) -> None:
    """Four boxes a question, as the dataset has; the fourth is another of the third."""
    boxes, images = [], []
    for split, those in numbers.items():
        for number in those:
            for place, (x, y, width, height) in enumerate((*CANDIDATES, CANDIDATES[2])):
                box = {"box_id": 4 * number + place, "name": "thing", "x": x, "y": y, "width": width, "height": height}
                boxes.append(box)
            pairs = [
                {
                    "qa_id": 2 * number + place,
                    "question": f"the {_colour(number, place)} one ?",
                    "type": "which",
                    "answer": 4 * number + place,
                    "multiple_choices": [4 * number + other for other in range(4) if other != place],
                }
                for place in range(2)
            ]
            image = GENOME + number
            images.append({"image_id": image, "filename": f"v7w_{image}.jpg", "split": split, "qa_pairs": pairs})
    tiny.write_json(folder / "dataset_v7w_pointing.json", {"dataset": "pointing", "boxes": boxes, "images": images})


def _guesswhat(folder: Path, numbers: dict[str, range]) -> None:
    """The training file packed in the layout of 2017, the other one plain; every fourth game failed."""
    folder.mkdir()
    for split, those in {"train": numbers["train"], "valid": numbers["val"]}.items():
        games = []
        for number in those:
            meant = number % 3
            things = [
                {"id": 10 * number + place, "category": "thing", "bbox": box} for place, box in enumerate(CANDIDATES)
            ]
            game = {
                "id": number,
                "status": "failure" if number % 4 == 3 else "success",
                "object_id": 10 * number + meant,
                "image": {"id": number, "file_name": _file(number), "width": 100, "height": 100},
                "objects": things[::-1],
                "qas": [{"id": number, "question": f"is it {_colour(number, meant)} ?", "answer": "Yes"}],
            }
            games.append(json.dumps(game) + "\n")
        if split == "train":
            (folder / "guesswhat.train.jsonl.gz").write_bytes(gzip.compress("".join(games).encode()))
        else:
            (folder / "guesswhat.valid.jsonl").write_text("".join(games), encoding="utf-8")
