"""The recorded files of every task as `twelve score` takes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Case:
    """One scoring: task, official files, result files, protocol."""

    task: str
    truth: list[Path]
    predictions: list[Path]
    protocol: str | None = None


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def captions(folder: Path, split: str = "test", shown: int = 40, each: int = 5) -> Path:
    """A split file in Karpathy's layout: images 1, 2, ... with captions 1000, 1001, ..."""
    images = [
        {
            "filename": f"COCO_val2014_{number + 1:012d}.jpg",
            "split": split,
            "sentences": [{"raw": "x", "sentid": 1000 + each * number + k} for k in range(each)],
        }
        for number in range(shown)
    ]
    return write(folder / "dataset_coco.json", {"images": images})


@pytest.fixture
def case(goldens: Path, tmp_path: Path) -> Callable[[str], Case]:
    """Name of a task -> its recorded files, with what is only recorded in parts written out."""

    def build(task: str) -> Case:
        folder = goldens / "metrics"
        return _CASES[task](folder, tmp_path)

    return build


def _vqa(folder: Path, _: Path) -> Case:
    names = ("v2_mscoco_val2014_annotations", "v2_OpenEnded_mscoco_val2014_invented_results")
    truth, results = (folder / "vqa_v2" / f"{name}.json" for name in names)
    return Case("vqa", [truth], [results])


def _gqa(folder: Path, _: Path) -> Case:
    truth = [folder / "gqa" / f"val_{name}.json" for name in ("all_questions", "choices", "sceneGraphs")]
    return Case("gqa", truth, [folder / "gqa" / f"val_{name}.json" for name in ("predictions", "attentions")])


def _nlvr2(folder: Path, _: Path) -> Case:
    truth = [folder / "nlvr2" / name for name in ("dev.json", "balanced_dev.json", "annotated_examples.txt")]
    return Case("nlvr2", truth, [folder / "nlvr2" / "predictions.csv"])


def _snli_ve(folder: Path, _: Path) -> Case:
    return Case("snli_ve", [folder / "snli_ve/snli_ve_test.jsonl"], [folder / "snli_ve/predictions_test.jsonl"])


def _visual7w(folder: Path, _: Path) -> Case:
    inside = folder / "visual7w"
    return Case("visual7w", [inside / "dataset_v7w_pointing.json"], [inside / "result_visual7w-pointing_mc_test.json"])


def _guesswhat(folder: Path, out: Path) -> Case:
    recorded = json.loads((folder / "guesswhat/expected.json").read_text())["expected"]["test"]["games"]
    games = {
        str(game["dialogue_id"]): dict(zip(map(str, game["object_ids"]), game["scores"], strict=True))
        for game in recorded
    }
    truth = folder / "guesswhat/release_b_later/guesswhat.test.jsonl.gz"
    return Case("guesswhat", [truth], [write(out / "selected.json", games)])


def _refcocog(folder: Path, _: Path) -> Case:
    inside = folder / "refer/google_refexp"
    truth, results = inside / "google_refexp_val_aligned_coco.json", inside / "comprehension_predictions.json"
    return Case("refcocog", [truth], [results])


def _refcoco(folder: Path, out: Path) -> Case:
    """The right box, for every second sentence moved far to the right."""
    inside = folder / "refer/refcoco"
    annotations = json.loads((inside / "instances.json").read_text())["annotations"]
    box = {annotation["id"]: annotation["bbox"] for annotation in annotations}
    refs = [ref for ref in json.loads((inside / "refs(unc).json").read_text()) if "test" in ref["split"]]
    results = [
        {
            "sent_id": sent,
            "ref_id": ref["ref_id"],
            "box": [box[ref["ann_id"]][0] + 9e3 * (sent % 2), *box[ref["ann_id"]][1:]],
        }
        for ref in refs
        for sent in ref["sent_ids"]
    ]
    return Case("refcoco", [inside / "refs(unc).p", inside / "instances.json"], [write(out / "boxes.json", results)])


def _coco(folder: Path, out: Path) -> Case:
    return Case("coco", [captions(out)], [folder / "retrieval/scores.json"], "all")


def _vg_qa(_: Path, out: Path) -> Case:
    questions = [{"qa_id": number, "question": "What?", "answer": "Two lamps."} for number in range(30)]
    truth = write(out / "question_answers.json", [{"id": 4, "qas": questions}])
    results = [
        {"qa_id": 27, "answer": "2 lamps"},
        {"qa_id": 28, "answer": "a lamp"},
        {"qa_id": 29, "answer": "two lamps."},
    ]
    return Case("vg_qa", [truth], [write(out / "answers.json", results)])


_CASES: dict[str, Callable[[Path, Path], Case]] = {
    "vqa": _vqa,
    "gqa": _gqa,
    "nlvr2": _nlvr2,
    "snli_ve": _snli_ve,
    "visual7w": _visual7w,
    "guesswhat": _guesswhat,
    "refcocog": _refcocog,
    "refcoco": _refcoco,
    "coco": _coco,
    "vg_qa": _vg_qa,
}
TASKS = list(_CASES)
