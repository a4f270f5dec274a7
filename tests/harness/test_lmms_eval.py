"""Logs of lmms-eval, written by hand and scored by hand."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from twelve import cli
from twelve.errors import ConfigError, DataError
from twelve.harness.answers import matched
from twelve.harness.compare import compare
from twelve.harness.shown import table
from twelve.score import score
from twelve.types.examples import Example
from twelve.types.logged import Logged


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# Ten answers, what a model said, and what it earns: officially and in the harness.
# 1. All ten agree, so the official program compares as written; the harness normalizes.
# 2. "a cup" counts as cup in both. 3. Two of ten: 0.6 in both.
QUESTIONS: list[tuple[str, list[str], str, float, float]] = [
    ("Is it open?", ["yes"] * 10, "Yes.", 0.0, 1.0),
    ("What is the otter holding?", ["cup"] * 3 + ["a cup"] * 3 + ["mug"] * 4, "Cup", 1.0, 1.0),
    ("What colour is it?", ["red"] * 2 + ["blue"] * 8, "red", 0.6, 0.6),
]


def vqa_log(folder: Path, docs: bool) -> Path:
    rows = []
    for number, (question, answers, said, _, theirs) in enumerate(QUESTIONS):
        row: dict[str, Any] = {"doc_id": number, "target": "answer", "filtered_resps": said, "exact_match": theirs}
        row["input"] = f"{question}\nAnswer the question using a single word or phrase."
        if docs:
            people = [{"answer": each, "answer_confidence": "yes", "answer_id": k} for k, each in enumerate(answers, 1)]
            row["doc"] = {"question_id": 42000 + number, "question": question, "answers": people}
            row["filtered_resps"] = [said]
        rows.append(row)
    return lines(folder / "20260101_120000_samples_vqav2_val.jsonl", rows)


def vqa_truth(folder: Path) -> list[Path]:
    asked = [{"image_id": 42, "question": q, "question_id": 42000 + n} for n, (q, *_) in enumerate(QUESTIONS)]
    notes = [
        {
            "question_id": 42000 + number,
            "image_id": 42,
            "question_type": "what",
            "answer_type": "other",
            "multiple_choice_answer": answers[0],
            "answers": [{"answer": each, "answer_id": k} for k, each in enumerate(answers, 1)],
        }
        for number, (_, answers, *_) in enumerate(QUESTIONS)
    ]
    (folder / "questions.json").write_text(json.dumps({"questions": asked}))
    (folder / "annotations.json").write_text(json.dumps({"annotations": notes}))
    return [folder / "annotations.json", folder / "questions.json"]


@pytest.mark.parametrize("docs", [False, True])
@pytest.mark.parametrize("official", [False, True])
def test_answers_of_ten_people(tmp_path: Path, docs: bool, official: bool) -> None:
    log = vqa_log(tmp_path, docs)
    truth = vqa_truth(tmp_path) if official else []
    if not docs and not official:
        with pytest.raises(DataError, match=r"line 1\]: the log does not tell what is right -> .*--truth"):
            compare("vqa", "lmms-eval", log)
        return
    found = compare("vqa", "lmms-eval", log, truth)
    assert found.official == pytest.approx(160 / 3, abs=0.005) and found.theirs == pytest.approx(260 / 3)
    assert [each.place for each in found.shown] == ["line 1"] and found.differing == 1
    assert found.truth == tuple(map(str, truth)) and (found.scores is None) == (not official)
    said = table(found)
    assert "truth: annotations.json and questions.json" in said if official else "truth: the log itself" in said
    assert "'Yes.' to 'Is it open?" in said and "why: it normalizes" in said


def test_the_official_number_is_that_of_an_official_file(tmp_path: Path) -> None:
    truth = vqa_truth(tmp_path)
    found = compare("vqa", "lmms-eval", vqa_log(tmp_path, docs=False), truth)
    rows = [{"question_id": 42000 + n, "answer": said} for n, (_, _, said, *_) in enumerate(QUESTIONS)]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    alone = score("vqa", truth, tmp_path / "results.json")
    assert found.scores is not None and found.scores.numbers == alone.numbers
    assert found.official == alone.numbers["accuracy"].value == 53.33


def test_saved_answers_are_a_result_file(tmp_path: Path) -> None:
    """With the scores of the log, whatever stood there before; without the official files there is none."""
    log, truth, saved = vqa_log(tmp_path, docs=True), vqa_truth(tmp_path), tmp_path / "saved.json"
    saved.write_text("older")
    command = ["score", "vqa", str(log), "--from", "lmms-eval", "--save", str(saved)]
    refused = CliRunner().invoke(cli.app, command)
    assert isinstance(refused.exception, ConfigError) and "--truth FILE" in str(refused.exception)
    assert saved.read_text() == "older"
    for file in truth:
        command += ["--truth", str(file)]
    assert CliRunner().invoke(cli.app, command).exit_code == 0
    found, alone = compare("vqa", "lmms-eval", log, truth).scores, score("vqa", truth, saved)
    assert found is not None and alone.numbers == found.numbers and alone.headline == found.headline


def test_an_order_that_the_questions_contradict_is_refused(tmp_path: Path) -> None:
    log, truth = vqa_log(tmp_path, docs=False), vqa_truth(tmp_path)
    with pytest.raises(DataError, match=r"line 1\]: the log names no ids.* -> also give the file of the questions"):
        compare("vqa", "lmms-eval", log, truth[:1])
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    rows[1]["doc_id"] = 2
    with pytest.raises(DataError, match=r"line 2\]: no example of the truth is asked 'What is the otter.*'What colour"):
        compare("vqa", "lmms-eval", lines(log, rows), truth)
    with pytest.raises(DataError, match=r"1 of 3 questions have no prediction.*-> log the whole split"):
        compare("vqa", "lmms-eval", lines(log, [rows[0], rows[2]]), truth)


def test_the_number_that_the_harness_wrote_is_compared(tmp_path: Path) -> None:
    log = vqa_log(tmp_path, docs=True)
    results = tmp_path / "20260101_120000_results.json"
    results.write_text(json.dumps({"results": {"vqav2_val": {"exact_match,none": 0.9}}}))
    (warning,) = (note for note in compare("vqa", "lmms-eval", log).notes if note.startswith("warning"))
    assert "20260101_120000_results.json says 90.00, the answers of the log give 86.67" in warning
    results.write_text(json.dumps({"results": {"vqav2_val": {"exact_match,none": 2.6 / 3}}}))
    assert not any(note.startswith("warning") for note in compare("vqa", "lmms-eval", log).notes)


def gqa_log(folder: Path) -> Path:
    said = [("white", "White.", 1.0), ("left", "left", 1.0), ("dog", "cat", 0.0)]
    rows = [
        {"doc_id": n, "target": right, "filtered_resps": answer, "input": f"Question {n}?", "exact_match": own}
        for n, (right, answer, own) in enumerate(said)
    ]
    return lines(folder / "x_samples_gqa.jsonl", rows)


def test_single_answers(tmp_path: Path) -> None:
    found = compare("gqa", "lmms-eval", gqa_log(tmp_path))
    assert (found.official, found.theirs) == (pytest.approx(100 / 3), pytest.approx(200 / 3))
    assert [(each.place, each.prediction, each.theirs, each.official) for each in found.shown] == [
        ("line 1", "White.", 1.0, 0.0)
    ]


def test_an_id_of_zeros_takes_no_rows_without_an_id(tmp_path: Path) -> None:
    known = [Example("01", "Where?", ("x",)), Example("000", "Where?", ("x",))]
    rows = [Logged(f"line {n}", n, "", "Where?", "", 0.0) for n in range(2)]
    assert matched(tmp_path, rows, known) == known
    assert matched(tmp_path, [Logged("line 1", None, "0", "", "", 0.0)], known) == known[1:]
    with pytest.raises(DataError, match=r"line 1\]: no example of the truth"):
        matched(tmp_path, [Logged("line 1", -1, "", "Where?", "", 0.0)], known)


def test_a_log_of_another_task(tmp_path: Path) -> None:
    log = gqa_log(tmp_path)
    with pytest.raises(DataError, match=r"this log is of gqa, not of VQA v2 -> twelve score gqa --from lmms-eval"):
        compare("vqa", "lmms-eval", log)
    with pytest.raises(ConfigError, match=r"NLVR2 has no logs of lmms-eval.*-> choose among gqa, refcoco"):
        compare("nlvr2", "lmms-eval", log)
    with pytest.raises(ConfigError, match="rate captions that a model writes, and do not measure retrieval"):
        compare("flickr30k", "lmms-eval", log)
    with pytest.raises(ConfigError, match=r"unknown harness 'lmms' \(did you mean"):
        compare("gqa", "lmms", log)
    with pytest.raises(DataError, match=r"line 1\]: expected the metric refcoco_ACC@0.5 or refcoco_grounding_ACC@0.5"):
        compare("refcoco", "lmms-eval", log.rename(tmp_path / "log.jsonl"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"filtered_resps": ["a", "b"]}, r"line 1\]: field 'filtered_resps' must hold one answer, found list"),
        ({"exact_match": "1"}, r"line 1\]: field 'exact_match' must be a finite number.* -> give the samples"),
        ({"doc_id": -1}, r"line 1\]: field 'doc_id' must be 0 or more, found -1"),
        ({"doc_id": 2}, r"line 3\]: 2 is answered twice, first in line 1"),
        ({"exact_match": 3}, r"line 1\]: field 'exact_match' must be 0 to 1, found 3"),
        ({"doc": {"answers": [{"answer": "x"}]}}, r"line 1\]: expected 10 people's answers in doc.answers, found 1"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    log = vqa_log(tmp_path, docs=True)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    with pytest.raises(DataError, match=problem):
        compare("vqa", "lmms-eval", lines(log, [rows[0] | change, *rows[1:]]))


# Two images of 400x200 and 100x100 pixels; boxes x1, y1, x2, y2. The second sentence's box overlaps by a third.
REFS = [
    (1, (400, 200), (40, 20, 200, 180), ["Left man.", "man in red"]),
    (2, (100, 100), (0, 0, 50, 100), ["the dog"]),
]


def refer_truth(folder: Path) -> list[Path]:
    images, annotations, refs = [], [], []
    for number, (wide, high), (x1, y1, x2, y2), sentences in REFS:
        name = f"COCO_train2014_{number:012d}"
        images.append({"id": number, "file_name": f"{name}.jpg", "width": wide, "height": high})
        box = [x1, y1, x2 - x1, y2 - y1]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box})
        said = [
            {"sent_id": 10 * number + k, "sent": text.lower(), "raw": text, "tokens": text.split()}
            for k, text in enumerate(sentences)
        ]
        refs.append(
            {"ref_id": number, "ann_id": number, "image_id": number, "category_id": 1, "split": "val"}
            | {"file_name": f"{name}_{number}.jpg", "sent_ids": [each["sent_id"] for each in said], "sentences": said}
        )
    (folder / "instances.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]})
    )
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=0))
    return [folder / "refs(unc).p", folder / "instances.json"]


def refer_log(folder: Path) -> Path:
    """Fractions: the man's box, one that covers a third of it (IoU 1/3), and no box at all."""
    man, dog = [0.1, 0.1, 0.5, 0.9], [0.0, 0.0, 0.5, 1.0]
    third = [0.1, 0.1, 0.1 + 0.4 / 3, 0.9]
    said = [("Left man.", man, man), ("man in red", third, man), ("the dog", [0, 0, 0, 0], dog)]
    rows = [
        {
            "doc_id": number,
            "filtered_resps": "somewhere" if not any(box) else f"It is at {box}.",
            "refcoco_ACC@0.5": {"answer": text, "pred": box, "ann_id": "7", "bbox": right},
        }
        for number, (text, box, right) in enumerate(said)
    ]
    return lines(folder / "x_samples_refcoco_bbox_rec_val.jsonl", rows)


@pytest.mark.parametrize("official", [False, True])
def test_boxes_as_fractions(tmp_path: Path, official: bool) -> None:
    found = compare("refcoco", "lmms-eval", refer_log(tmp_path), refer_truth(tmp_path) if official else [])
    assert found.official == found.theirs == pytest.approx(100 / 3) and not found.differing
    assert "boxes are read as fractions; without a box, counted as wrong: 1" in found.notes
    assert (found.scores is not None) == official


def test_a_protocol_of_pixels_needs_sizes(tmp_path: Path) -> None:
    log = refer_log(tmp_path)
    with pytest.raises(
        DataError, match=r"line 1\]: protocol original counts pixels, and the log tells boxes as fractions"
    ):
        compare("refcoco", "lmms-eval", log, protocol="original")
    found = compare("refcoco", "lmms-eval", log, refer_truth(tmp_path), "original")
    assert found.official == pytest.approx(100 / 3) and found.protocol == "original"
    with pytest.raises(DataError, match=r"line 1\]: boxes in pixels need the sizes of the images.* -> .*--truth"):
        compare("refcoco", "lmms-eval", log, boxes="pixels")


def grounding_log(folder: Path) -> Path:
    """The man is asked for with both sentences. The answer names two boxes, the second is right; the dog's is right in
    thousandths. The harness keeps the better one of each."""
    rows = [
        {
            "doc_id": 0,
            "filtered_resps": '[{"bbox_2d": [0, 0, 10, 10]}, {"bbox_2d": [40, 20, 200, 180]}]',
            "refcoco_grounding_ACC@0.5": {
                "answer": ["Left man.", "man in red"],
                "pred_boxes": [[0, 0, 10, 10], [40, 20, 200, 180]],
                "pred": [40, 20, 200, 180],
                "bbox": [40, 20, 200, 180],
            },
        },
        {
            "doc_id": 1,
            "filtered_resps": '{"bbox_2d": [0, 0, 500, 1000]}',
            "refcoco_grounding_ACC@0.5": {
                "answer": ["the dog"],
                "pred_boxes": [[0, 0, 500, 1000]],
                "pred": [0, 0, 50, 100],
                "bbox": [0, 0, 50, 100],
            },
        },
    ]
    return lines(folder / "x_samples_refcoco_grounding_val.jsonl", rows)


def test_the_better_of_two_readings(tmp_path: Path) -> None:
    log, truth = grounding_log(tmp_path), refer_truth(tmp_path)
    with pytest.raises(
        DataError, match="boxes can be pixels or thousandths -> say how the model writes boxes: --boxes"
    ):
        compare("refcoco", "lmms-eval", log, truth)
    pixels = compare("refcoco", "lmms-eval", log, boxes="pixels")
    assert (pixels.theirs, pixels.theirs_examples) == (100.0, 2) and (pixels.official, pixels.examples) == (0.0, 3)
    with pytest.raises(DataError, match="boxes in thousandths need the sizes of the images"):
        compare("refcoco", "lmms-eval", log, boxes="thousandths")
    found = compare("refcoco", "lmms-eval", log, truth, boxes="thousandths")
    assert found.official == pytest.approx(100 / 3) and found.theirs == 100.0  # the dog; the man has two sentences
    assert any("pull request 1373" in reason for reason in found.reasons)


def test_the_command(tmp_path: Path) -> None:
    log = gqa_log(tmp_path)
    said = CliRunner().invoke(cli.app, ["score", "gqa", "--from", "lmms-eval", str(log), "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["theirs"] == pytest.approx(200 / 3)
    for words, problem in (
        (["score", "gqa", str(log)], "--from and a log belong together"),
        (["score", "gqa", "--from", "lmms-eval"], "--from and a log belong together"),
        (["score", "gqa"], "no --truth and no --predictions"),
    ):
        assert problem in str(CliRunner().invoke(cli.app, words).exception)
