"""`twelve score` on rankings of options and on answers with their reasons."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_extra_options

from twelve.errors import ConfigError, DataError
from twelve.metrics import vcr, visdial
from twelve.score import score, table


@dataclass(frozen=True)
class Files:
    dialogues: Path
    dense: Path
    ranks: Path
    rows: list[dict[str, Any]]


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def files(goldens: Path, tmp_path: Path) -> Files:
    """The recorded scores as the dataset's own files, with images 100, 101, ..."""
    inputs = json.loads((goldens / "metrics/visdial_metrics/inputs.json").read_text())
    dialogs, rows, dense = [], [], []
    for dialog, (lines, right) in enumerate(zip(inputs["scores"], inputs["gt_index"], strict=True)):
        turns = []
        for place, (scores, index) in enumerate(zip(lines, right, strict=True), 1):
            options = list(range(100))
            turns.append({"question": 0, "answer": options[index], "answer_options": options, "gt_index": index})
            ranks = visdial.ranks_of(np.argsort(-np.array(scores), kind="stable").tolist())
            rows.append({"image_id": 100 + dialog, "round_id": place, "ranks": ranks})
        dialogs.append({"image_id": 100 + dialog, "caption": "a thing", "dialog": turns})
        asked = 1 + inputs["dense_round_index_from_0"][dialog]
        relevance = inputs["gt_relevance"][dialog]
        dense.append({"image_id": 100 + dialog, "round_id": asked, "gt_relevance": relevance})
    data = {"questions": ["what"], "answers": [f"a{number}" for number in range(100)], "dialogs": dialogs}
    truth = write(tmp_path / "visdial_1.0_val.json", {"split": "val2018", "version": "1.0", "data": data})
    annotations = write(tmp_path / "visdial_1.0_val_dense_annotations.json", dense)
    return Files(truth, annotations, write(tmp_path / "ranks.json", rows), rows)


def test_ranks_equal_the_official_program(files: Files, goldens: Path) -> None:
    golden = json.loads((goldens / "metrics/visdial_metrics/expected.json").read_text())["expected"]
    for truth in ([files.dialogues, files.dense], [files.dense, files.dialogues]):
        found = score("visdial", truth, files.ranks)
        ours = {name: number.value for name, number in found.numbers.items()}
        for name in ("r@1", "r@5", "r@10", "mrr"):
            assert ours[name.upper()] == pytest.approx(100 * golden["sparse"][name], rel=1e-7), name
        assert np.float32(ours["mean rank"]) == np.float32(golden["sparse"]["mean"])
        assert ours["NDCG"] == pytest.approx(100 * golden["dense"]["ndcg"], rel=1e-7)
        assert found.examples == 60 and found.groups == 6 and found.numbers["NDCG"].examples == 6
    assert "split val2018, all rounds" in table(found)


def test_without_dense_annotations(files: Files) -> None:
    found = score("visdial", [files.dialogues], files.ranks)
    assert "NDCG" not in found.numbers and "dense annotations" in found.notes[0]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda rows: rows[3]["ranks"].__setitem__(0, rows[3]["ranks"][1]), r"\[entry 4\]: .*each rank from 1 to 100"),
        (lambda rows: rows[3].pop("ranks"), r"\[entry 4\]: field 'ranks' is missing"),
        (lambda rows: rows[3].update(ranks=[1, 2]), r"\[entry 4\]: .* 1 to 100 once, found 2 of 100 ranks"),
        (lambda rows: rows[3].update(round_id=1), r"\[entry 4\]: round 100-1 is predicted twice"),
        (lambda rows: rows.pop(), r"\[round 105-10\]: 1 of 60 rounds have no prediction"),
        (lambda rows: rows.append({**rows[0], "image_id": 9}), r"\[round 9-1\]: 1 prediction has no counterpart"),
    ],
)
def test_ranks_that_are_refused(files: Files, edit: Callable[[Any], object], message: str) -> None:
    edit(files.rows)
    write(files.ranks, files.rows)
    with pytest.raises(DataError, match=message) as caught:
        score("visdial", [files.dialogues], files.ranks)
    assert caught.value.file == files.ranks and caught.value.remedy and "download" not in caught.value.remedy


def test_truth_without_answers_is_refused(files: Files, tmp_path: Path) -> None:
    test = write(tmp_path / "visdial_1.0_test.json", tiny_extra_options.dialogues("test", range(2)))
    with pytest.raises(DataError, match="contains no answers"):
        score("visdial", [test], files.ranks)
    with pytest.raises(DataError, match="expected one file, the dialogues"):
        score("visdial", [files.dense], files.ranks)


@pytest.fixture
def lines(tmp_path: Path) -> list[dict[str, Any]]:
    found = [tiny_extra_options.question("val", number) for number in range(5)]
    (tmp_path / "val.jsonl").write_text("".join(json.dumps(line) + "\n" for line in found))
    return found


def rows_of(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of five questions the first is answered wrongly, the last two have a wrong reason."""
    rows = []
    for number, line in enumerate(lines):
        row: dict[str, Any] = {vcr.KEY: line["annot_id"]}
        answer, reason = line["answer_label"], line["rationale_label"]
        chosen = (answer + (number == 0)) % 4
        row |= {name: float(place == chosen) for place, name in enumerate(vcr.ANSWERS)}
        for told in range(4):
            best = (reason + (number > 2)) % 4 if told == answer else (reason + 2) % 4
            row |= {name: float(place == best) for place, name in enumerate(vcr.REASONS[told])}
        rows.append(row)
    return rows


def write_table(path: Path, rows: list[dict[str, Any]], columns: Callable[[str], bool] = lambda name: True) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [name for name in rows[0] if columns(name)], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_answers_reasons_and_both(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    whole = write_table(tmp_path / "all.csv", rows_of(lines))
    found = {name: score(name, [tmp_path / "val.jsonl"], whole) for name in ("vcr_qa", "vcr_qar")}
    for scores in found.values():
        assert {name: number.value for name, number in scores.numbers.items()} == {
            "Q->A": 80.0,
            "QA->R": 60.0,
            "Q->AR": 40.0,
        }
        assert all(number.examples == len(lines) for number in scores.numbers.values())
    assert found["vcr_qa"].primary == "Q->A" and found["vcr_qar"].primary == "QA->R"


def test_divided_among_two_files(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    answers = write_table(tmp_path / "a.csv", rows_of(lines), lambda name: not name.startswith("rationale"))
    reasons = write_table(tmp_path / "r.csv", rows_of(lines), lambda name: not name.startswith("answer"))
    truth = [tmp_path / "val.jsonl"]
    assert list(score("vcr_qa", truth, answers).numbers) == ["Q->A"]
    assert list(score("vcr_qar", truth, reasons).numbers) == ["QA->R"]
    assert score("vcr_qar", truth, [answers, reasons]).numbers["Q->AR"].value == 40
    with pytest.raises(DataError, match="no predictions for VCR answers"):
        score("vcr_qa", truth, reasons)
    with pytest.raises(DataError, match="predicted in two files"):
        score("vcr_qa", truth, [answers, answers])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda rows: rows[1].update(answer_2="x"), r"\[line 3, answer_2\]: expected a number, found str 'x'"),
        (lambda rows: rows[1].update(answer_2=float("nan")), r"\[line 3, answer_2\]: expected a number"),
        (lambda rows: rows[1].update(answer_2=""), r"\[val-1, answer_2\]: no score, although other questions"),
        (lambda rows: rows[1].update(annot_id="val-0"), r"\[line 3\]: question val-0 is predicted twice"),
        (lambda rows: rows.pop(), r"\[question val-4\]: 1 of 5 questions have no prediction"),
        (lambda rows: rows.clear() or rows.append({"a": 1}), "expected a table of predictions"),
    ],
)
def test_tables_that_are_refused(
    lines: list[dict[str, Any]], tmp_path: Path, edit: Callable[[Any], object], message: str
) -> None:
    rows = rows_of(lines)
    edit(rows)
    path = write_table(tmp_path / "all.csv", rows)
    with pytest.raises(DataError, match=message) as caught:
        score("vcr_qa", [tmp_path / "val.jsonl"], path)
    assert caught.value.file == path and caught.value.remedy and "download" not in caught.value.remedy


def test_more_than_the_truth_is_passed_over(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    rows = rows_of(lines)
    path = write_table(tmp_path / "all.csv", [*rows, {**rows[0], "annot_id": "val-99"}])
    assert (
        "1 predictions are without a counterpart in val.jsonl"
        in score("vcr_qa", [tmp_path / "val.jsonl"], path).notes[0]
    )


def test_no_protocol_but_the_official(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no protocol 'mine'"):
        score("vcr_qa", [tmp_path / "val.jsonl"], write_table(tmp_path / "all.csv", rows_of(lines)), "mine")
