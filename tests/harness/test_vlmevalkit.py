"""Tables of VLMEvalKit, written by hand and scored by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from test_lmms_eval import REFS, refer_truth
from typer.testing import CliRunner

from twelve import cli
from twelve.errors import ConfigError, DataError
from twelve.harness.compare import compare
from twelve.tasks.base import get
from twelve.types.logged import Logged

HEAD = b"index\tquestion\tanswer\tprediction\n"
KINDS = ("xlsx", "tsv", "json")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A table as the harness writes it."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=4))
    elif path.suffix == ".xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        book.active.append(list(rows[0]))
        for row in rows:
            book.active.append(list(row.values()))
        book.save(path)
    else:
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t", quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
    return path


# The harness ignores capitals and spaces around an answer, the official program does not: 2 of 4 and 1 of 4.
GQA = [
    {"index": 201, "question": "What color is the fence?", "answer": "white", "prediction": "White "},
    {"index": 7333408, "question": "Is it left or right?", "answer": "left", "prediction": "left"},
    {"index": 203, "question": "Which animal is it?", "answer": "dog", "prediction": "cat"},
    {"index": 204, "question": "Is it open?", "answer": "no", "prediction": "no."},
]


def gqa_truth(folder: Path) -> list[Path]:
    """The second question's id begins with a zero, which a table of numbers loses."""
    fields: dict[str, Any] = {"isBalanced": True, "semantic": [], "groups": {"global": None, "local": None}}
    fields |= {"types": {"structural": "query", "semantic": "attr", "detailed": "x"}, "imageId": "n1", "entailed": []}
    tree = {
        ("07333408" if row["index"] == 7333408 else str(row["index"])): fields
        | {"question": row["question"], "answer": row["answer"]}
        for row in GQA
    }
    (folder / "testdev_balanced_questions.json").write_text(json.dumps(tree))
    return [folder / "testdev_balanced_questions.json"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("official", [False, True])
def test_single_answers(tmp_path: Path, kind: str, official: bool) -> None:
    log = write(tmp_path / f"Model-7B_GQA_TestDev_Balanced.{kind}", GQA)
    found = compare("gqa", "vlmevalkit", log, gqa_truth(tmp_path) if official else [])
    assert (found.official, found.theirs) == (25.0, 50.0) and found.examples == 4
    assert [(each.place, each.theirs, each.official) for each in found.shown] == [("row 1", 1.0, 0.0)]
    assert found.metric == "Overall" and (found.scores is not None) == official


@pytest.mark.parametrize("kind", ["xlsx", "tsv"])
def test_empty_rows_are_no_answers(tmp_path: Path, kind: str) -> None:
    """Their place is counted, so that a message names the row that a spreadsheet shows."""
    empty = dict.fromkeys(GQA[0], " " if kind == "tsv" else None)
    rows = [GQA[0], empty, *GQA[1:], empty, empty]
    log = write(tmp_path / f"x_GQA_TestDev_Balanced.{kind}", rows)
    if kind == "tsv":
        log.write_bytes(log.read_bytes() + b"\r\n\n")
    found = compare("gqa", "vlmevalkit", log)
    assert (found.official, found.theirs, found.examples) == (25.0, 50.0, 4)
    write(log, [*rows, GQA[0] | {"prediction": "", "answer": ""}])
    with pytest.raises(DataError, match=r"row 8\]: column 'answer' is empty -> "):
        compare("gqa", "vlmevalkit", log)
    write(log, [GQA[0] | {"index": ""}])
    with pytest.raises(DataError, match=r"row 1\]: column 'index' is empty -> "):
        compare("gqa", "vlmevalkit", log)


def test_a_sheet_with_a_far_row_is_refused(tmp_path: Path) -> None:
    """An xlsx file names the number of each row: one row makes a million empty ones."""
    log = write(tmp_path / "x_GQA_TestDev_Balanced.xlsx", GQA)
    book = pytest.importorskip("openpyxl").load_workbook(log)
    book.active.cell(row=300_000, column=1, value=205)
    book.save(log)
    with pytest.raises(DataError, match=r"row 100005\]: more than 100,000 consecutive empty rows -> "):
        compare("gqa", "vlmevalkit", log)


def test_rows_that_are_only_counted_are_found_by_their_questions(tmp_path: Path) -> None:
    log = write(tmp_path / "x_GQA_TestDev_Balanced.json", [row | {"index": n} for n, row in enumerate(GQA)])
    truth = gqa_truth(tmp_path)
    assert compare("gqa", "vlmevalkit", log, truth).official == 25.0
    write(log, [GQA[0], GQA[0], *GQA[2:]])
    with pytest.raises(DataError, match=r"row 2\]: 201 is answered twice, first in row 1"):
        compare("gqa", "vlmevalkit", log, truth)


def test_the_files_of_the_evaluation(tmp_path: Path) -> None:
    rows = [row | {"eval_score": score} for row, score in zip(GQA, (1.0, 1.0, 0.0, 0.0), strict=True)]
    log = write(tmp_path / "x_GQA_TestDev_Balanced_results.xlsx", rows)
    (tmp_path / "x_GQA_TestDev_Balanced_acc.csv").write_text('"Overall"\n"75.0"\n')
    found = compare("gqa", "vlmevalkit", log)
    assert found.theirs == 50.0
    assert any("_acc.csv says 75.00, the answers of the log give 50.00" in note for note in found.notes)


def boxes(unit: str) -> list[dict[str, Any]]:
    """Both objects of REFS, found exactly but for the second sentence, which has no box; written in a unit."""
    rows = []
    for _, (wide, high), right, sentences in REFS:
        for place, sentence in enumerate(sentences):
            scale = {"pixels": (1, 1), "thousandths": (1000 / wide, 1000 / high), "fractions": (1 / wide, 1 / high)}[
                unit
            ]
            box = [corner * scale[axis % 2] for axis, corner in enumerate(right)]
            rows.append(
                {"index": f"RefCOCO_val_{len(rows)}", "question": f"Where is {sentence}?", "answer": ""}
                | dict(zip(("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"), right, strict=True))
                | {"width": wide, "height": high, "split": "RefCOCO_val"}
                | {"prediction": "I see none" if place else f"<box>{box}</box>"}
            )
    other = rows[0] | {"index": "RefCOCO+_val_0", "split": "RefCOCO+_val", "prediction": "none"}
    return [*rows, other]  # the table holds three datasets


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", ["thousandths", "fractions"])
@pytest.mark.parametrize("official", [False, True])
def test_boxes(tmp_path: Path, kind: str, unit: str, official: bool) -> None:
    log = write(tmp_path / f"x_RefCOCO.{kind}", boxes(unit))
    truth = refer_truth(tmp_path) if official else []
    found = compare("refcoco", "vlmevalkit", log, truth)
    assert found.official == found.theirs == pytest.approx(200 / 3) and found.examples == 3
    assert found.notes[0].startswith(
        f"boxes are read as {unit}, by the largest number of all; without a box, counted as wrong: 1"
    )
    assert compare("refcoco", "vlmevalkit", log, truth, "original").official == pytest.approx(200 / 3)
    assert compare("refcoco+", "vlmevalkit", log).official == 0.0


@pytest.mark.parametrize("official", [False, True])
def test_pixels_of_small_images_are_read_as_thousandths_by_the_harness(tmp_path: Path, official: bool) -> None:
    log = write(tmp_path / "x_RefCOCO.tsv", boxes("pixels"))
    truth = refer_truth(tmp_path) if official else []
    assert compare("refcoco", "vlmevalkit", log, truth).official == 0.0
    found = compare("refcoco", "vlmevalkit", log, truth, boxes="pixels")
    assert (found.theirs, found.official) == (0.0, pytest.approx(200 / 3)) and found.differing == 2


def test_mixed_units_must_be_said(tmp_path: Path) -> None:
    rows = boxes("thousandths")
    log = write(tmp_path / "x_RefCOCO.json", [rows[0], rows[2] | {"prediction": "[0, 0, 1200, 9]"}])
    with pytest.raises(DataError, match=r"numbers above 1,000.* -> say how the model writes boxes: --boxes pixels"):
        compare("refcoco", "vlmevalkit", log)
    with pytest.raises(ConfigError, match="unknown way to write boxes: 'metres'"):
        compare("refcoco", "vlmevalkit", log, boxes="metres")
    with pytest.raises(ConfigError, match="are not boxes -> leave --boxes out"):
        compare("gqa", "vlmevalkit", write(tmp_path / "x.json", GQA), boxes="pixels")


def test_sentences_of_another_release_are_refused(tmp_path: Path) -> None:
    rows = boxes("thousandths")[:3]
    log = write(tmp_path / "x_RefCOCO.json", [*rows[:2], rows[2] | {"bbox_x1": 20}])
    with pytest.raises(DataError, match=r"row 3\]: no sentence of the truth that is left is 'Where is the dog\?'"):
        compare("refcoco", "vlmevalkit", log, refer_truth(tmp_path))
    write(log, rows[:2])
    with pytest.raises(DataError, match="1 of 3 sentences of split val have no prediction -> log the whole split"):
        compare("refcoco", "vlmevalkit", log, refer_truth(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.pkl", b"", r"expected a table, found a file \.pkl -> give the file as the harness wrote it"),
        ("x.xlsx", b"PK nothing", "not an xlsx file: "),
        ("x.json", b"{}", "expected a list of rows, found dict"),
        ("x.tsv", b"", "expected a head with distinct names of columns"),
        ("x.tsv", b"index\tquestion\n1\tb\tc\n", r"row 1\]: expected 2 cells, found 3"),
        (
            "x.tsv",
            b"index\tquestion\tanswer\n1\ta\tb\n",
            r"row 1\]: column 'prediction' is missing, found index, question",
        ),
        ("x.tsv", b"index\tquestion\tanswer\tprediction\n", "contains no answers"),
        (
            "x.tsv",
            HEAD + b'1\ta\tb\t"c\n2\ta\tb\tc\n',
            r"row 1\] cannot be read: unexpected end of data -> give the file",
        ),
        ("x.tsv", HEAD + b'1\ta\tb\t"c\n2\ta\tb\tc"\n', r"row 1\]: a cell holds tabs and ends of lines: a quote"),
        ("x.tsv", HEAD + b"1\ta\tb\tc\n1\ta\tb\tc\n", r"row 2\]: 1 is answered twice, first in row 1"),
        ("x.tsv", HEAD[:-1] + b"\thit\n1\ta\tb\tc\t1e300\n", r"row 1\]: column 'hit' must be 0 to 1, found 1e\+300"),
        ("x.tsv", b"index\tquestion\tanswer\tprediction\n1\ta\t\xff\tb\n", "cannot be read: "),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=problem) as raised:
        compare("gqa", "vlmevalkit", tmp_path / name)
    assert raised.value.file == tmp_path / name and raised.value.remedy


def test_a_log_that_tells_no_box(tmp_path: Path) -> None:
    log = write(tmp_path / "x_RefCOCO.json", [row | {"split": "RefCOCO_val"} for row in GQA])
    with pytest.raises(DataError, match=r"row 1\]: the log does not tell what is right"):
        compare("refcoco", "vlmevalkit", log)
    with pytest.raises(DataError, match=r"row 1\]: the log does not tell the right box"):
        compare("refcoco", "vlmevalkit", log, refer_truth(tmp_path))
    with pytest.raises(ValueError, match="expected a box of four numbers in an image"):
        get("refcoco").logged_example(Logged("row 1", 0, "", "x", "", 0.0, {"bbox": [1, 2, 3]}))


def test_the_command(tmp_path: Path) -> None:
    log = write(tmp_path / "x_GQA_TestDev_Balanced.xlsx", GQA)
    said = CliRunner().invoke(cli.app, ["score", "gqa", "--from", "vlmevalkit", str(log)])
    assert said.exit_code == 0, said.output
    assert "vlmevalkit Overall   50.00%" in said.output and "official accuracy    25.00%" in said.output
