"""The whole command equals the official programs (tests/goldens/metrics), number for number."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twelve.score import Scores, score

Build = Callable[[str], Any]


def run(case: Any) -> Scores:
    return score(case.task, case.truth, case.predictions, case.protocol)


def value(scores: Scores, name: str) -> float:
    return scores.numbers[name].value


@pytest.fixture
def expected(goldens: Path) -> Callable[[str], Any]:
    return lambda folder: json.loads((goldens / "metrics" / folder / "expected.json").read_text())["expected"]


def test_vqa(case: Build, expected: Callable[[str], Any]) -> None:
    found, golden = run(case("vqa")), expected("vqa_v2")["n2"]["accuracy"]
    assert value(found, "accuracy") == golden["overall"]
    for kind, prefix in (("perAnswerType", "accuracy, "), ("perQuestionType", "accuracy, question type ")):
        assert {name: value(found, prefix + name) for name in golden[kind]} == golden[kind]
    assert len(found.numbers) == 1 + len(golden["perAnswerType"]) + len(golden["perQuestionType"])
    assert found.headline.low < value(found, "accuracy") < found.headline.high


def check_gqa(found: Scores, golden: dict[str, Any], printed: list[str]) -> None:
    """Both the full precision and every printed line."""
    kinds = {"Structural": "structural", "Semantic": "semantic", "Steps": "steps", "Length": "words"}
    for name, number in golden.items():
        if not name.startswith("accuracyPer"):
            assert (value(found, name) if name in found.numbers else 0) == pytest.approx(number, abs=1e-9), name
            continue
        kind = kinds[name.removeprefix("accuracyPer").removesuffix("Type")]
        for part, (share, count) in number.items():
            ours = found.numbers[f"accuracy, {kind} {part}"]
            assert (ours.value, ours.examples) == (pytest.approx(share, abs=1e-9), count)
            assert f"  {part}: {ours.value:.2f}% ({count} questions)" in printed
    for name in ("Binary", "Open", "Accuracy"):
        assert f"{name}: {value(found, name.lower()):.2f}%" in printed


def test_gqa(case: Build, expected: Callable[[str], Any]) -> None:
    found, golden = run(case("gqa")), expected("gqa")
    check_gqa(found, golden["scores"], golden["printed"])
    for name in ("Consistency", "Validity", "Plausibility", "Grounding"):
        assert f"{name}: {value(found, name.lower()):.2f}%" in golden["printed"]
    assert found.notes == ()


def test_gqa_balanced_only(case: Build, expected: Callable[[str], Any], tmp_path: Path) -> None:
    full = case("gqa")
    rows = {key: row for key, row in json.loads(full.truth[0].read_text()).items() if row["isBalanced"]}
    (tmp_path / "balanced.json").write_text(json.dumps(rows))
    found = run(replace(full, truth=[tmp_path / "balanced.json"], predictions=full.predictions[:1]))
    golden = expected("gqa")["balanced_only_no_choices"]
    check_gqa(found, golden["scores"], golden["printed"])
    assert [note.split(" ")[0] for note in found.notes] == ["consistency", "validity", "grounding", "57"]


def test_nlvr2(case: Build, expected: Callable[[str], Any]) -> None:
    found, golden = run(case("nlvr2")), expected("nlvr2")
    assert value(found, "accuracy") / 100 == pytest.approx(golden["metrics"]["accuracy"], abs=1e-15)
    assert value(found, "consistency") / 100 == pytest.approx(golden["metrics"]["consistency"], abs=1e-15)
    assert value(found, "accuracy, balanced_dev") == golden["balanced_accuracy_percent"]
    lines = [line.split(": ") for line in golden["category_printed"][3:]]
    for name, rest in lines:
        number = found.numbers[f"accuracy, {name}"]
        assert f"{number.value:.2f} (of {number.examples} examples)" == rest


def test_nlvr2_odd_predictions(case: Build, expected: Callable[[str], Any]) -> None:
    """An unknown word is wrong, an unknown identifier is passed over, and both are said."""
    full, golden = case("nlvr2"), expected("nlvr2")["metrics_odd_predictions"]
    found = run(replace(full, predictions=[full.predictions[0].with_name("predictions_odd.csv")]))
    assert value(found, "accuracy") / 100 == pytest.approx(golden["accuracy"], abs=1e-15)
    assert value(found, "consistency") / 100 == pytest.approx(golden["consistency"], abs=1e-15)
    assert len(found.notes) == 2


@pytest.mark.parametrize("name", ["val", "test", "test_half"])
def test_visual7w(case: Build, expected: Callable[[str], Any], name: str) -> None:
    full, golden = case("visual7w"), expected("visual7w")[name]
    found = run(replace(full, predictions=[full.truth[0].with_name(golden["results_file"])]))
    assert round(value(found, "accuracy") / 100, 3) == golden["overall_accuracy_printed"]
    assert found.examples == golden["total"]
    assert f"split {golden['split']}" in found.rules
    assert bool(found.notes) == (name == "test_half")


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("layout", ["", "_first_release_layout"])
def test_snli_ve(case: Build, expected: Callable[[str], Any], split: str, layout: str) -> None:
    folder = case("snli_ve").truth[0].parent
    found = score("snli_ve", [folder / f"snli_ve_{split}{layout}.jsonl"], folder / f"predictions_{split}.jsonl")
    names = {"Entailed": "entailment", "Neutral": "neutral", "Contradict": "contradiction"}
    printed = [f"Overall accuracy = {value(found, 'accuracy'):.2f}%"]
    printed += [f"{word} accuracy = {value(found, f'accuracy, {name}'):.2f}%" for word, name in names.items()]
    assert printed == expected("snli_ve")[split]["printed"]


@pytest.mark.parametrize(("protocol", "part"), [(None, "status_success"), ("all", "all_games")])
@pytest.mark.parametrize("release", ["release_a_2017", "release_b_later"])
def test_guesswhat(case: Build, expected: Callable[[str], Any], protocol: str | None, part: str, release: str) -> None:
    """The official program computes in single precision."""
    full, golden = case("guesswhat"), expected("guesswhat")["test"][part]
    truth = full.truth[0].parents[1] / release / full.truth[0].name
    found = run(replace(full, truth=[truth], protocol=protocol))
    assert value(found, "error") / 100 == pytest.approx(golden["error_one_batch"], abs=1e-7)
    assert value(found, "accuracy") / 100 == pytest.approx(golden["accuracy_one_batch"], abs=1e-7)
    assert found.examples == golden["n_games"]


def test_google_toolbox(case: Build, expected: Callable[[str], Any]) -> None:
    found, golden = run(case("refcocog")), expected("refer")["google_refexp"]
    for k in (1, 2, 3):
        assert value(found, f"precision@{k}") / 100 == pytest.approx(golden[f"precision_at_{k}"], abs=1e-12)
    assert (value(found, "accuracy"), found.examples) == (value(found, "precision@1"), len(golden["best_iou_at_1"]))


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        ("google", "google (>= 0.5)"),
        ("mattnet", "mattnet (>= 0.5)"),
        ("original", "vilbert reference (> 0.5, +1 widths)"),
    ],
)
def test_conventions_of_overlap(
    goldens: Path, tmp_path: Path, expected: Callable[[str], Any], protocol: str, name: str
) -> None:
    """The recorded pairs of boxes, as if each were a phrase and its prediction."""
    pairs = json.loads((goldens / "metrics/refer/box_pairs.json").read_text())
    annotations = {str(n): {"image_id": 1, "bbox": pair["gt_xywh"], "refexp_ids": [n]} for n, pair in enumerate(pairs)}
    (tmp_path / "truth.json").write_text(json.dumps({"images": {"1": {}}, "annotations": annotations, "refexps": {}}))
    rows = [{"refexp_id": n, "box": pair["pred_xywh"]} for n, pair in enumerate(pairs)]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    found = score("refcocog", [tmp_path / "truth.json"], tmp_path / "boxes.json", protocol)
    assert value(found, "accuracy") / 100 == pytest.approx(expected("refer")["accuracy_at_0.5"][name], abs=1e-12)


def check_retrieval(found: Scores, text: dict[str, float], image: dict[str, float]) -> None:
    names = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "median_rank": "median rank", "mean_rank": "mean rank"}
    for direction, golden in (("", text), ("image to text ", image)):
        for name, number in golden.items():
            assert value(found, direction + names[name]) == pytest.approx(number, abs=1e-9)


def test_retrieval(case: Build, expected: Callable[[str], Any]) -> None:
    found, golden = run(case("coco")), expected("retrieval")["scores.json"]
    check_retrieval(found, golden["SCAN text_to_image"], golden["SCAN image_to_text"])
    albef = golden["ALBEF itm_eval"]
    assert value(found, "mean recall") == pytest.approx(albef["img_r_mean"])
    assert value(found, "image to text mean recall") == pytest.approx(albef["txt_r_mean"])
    assert value(found, "mean recall of both directions") == pytest.approx(albef["r_mean"])


def test_retrieval_by_embeddings(case: Build, expected: Callable[[str], Any], goldens: Path, tmp_path: Path) -> None:
    vectors = json.loads((goldens / "metrics/retrieval/embeddings.json").read_text())
    scores = np.array(vectors["captions"]) @ np.array(vectors["images"]).T
    np.savez(tmp_path / "scores.npz", scores=scores)
    found, golden = run(replace(case("coco"), predictions=[tmp_path / "scores.npz"])), expected("retrieval")
    golden = golden["embeddings.json"]
    check_retrieval(found, golden["vsepp text_to_image"], golden["vsepp image_to_text"])
