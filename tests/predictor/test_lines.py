"""The JSON lines of twelve predict: what one may hold, and what is said of one that is malformed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import test_predict_command
from test_predict_command import lines, twelve
from typer.testing import CliRunner

from twelve import cli
from twelve.errors import InputError, TwelveError
from twelve.formats.mistaken import SECTION
from twelve.predictor.checks import corners
from twelve.predictor.lines import requests_in

model, images = test_predict_command.model, test_predict_command.images
BOX = [1, 2, 30, 40]


def test_lines_ask_anything(model: Path, images: Path) -> None:
    boxes = [[0, 0, 30, 30], [20, 20, 90, 80]]
    asked = [
        {"image": "0.png", "answer": "is it red ?", "id": 7, "score": 3},
        {"image": "0.png", "choose": "what is red ?", "boxes": boxes},
        {"image": "1.png", "guess": [["is it red ?", "yes"]], "boxes": boxes},
        {"image": "1.png", "guess": [{"question": "is it red ?", "answer": "Yes"}], "boxes": boxes},
        {"images": ["0.png", "1.png"], "verify": "both show a ball"},
        {"image": "gone.png", "locate": "the ball"},
    ]
    file = images / "ask.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in asked))
    code, shown = twelve("predict", model, "--jsonl", file, "--json")
    found = lines(shown)
    assert code == 1 and [line["method"] for line in found] == [
        "answer",
        "choose",
        "guess",
        "guess",
        "verify",
        "locate",
    ]
    assert (found[0]["id"], found[0]["score"]) == (7, 3)
    assert found[1]["index"] in (0, 1) and found[4]["true"] in (True, False)
    assert found[2]["text"] == found[3]["text"] == "is it red ? yes" and found[2]["index"] == found[3]["index"]
    gone = f"no such image -> correct line 6 of {file}; paths are relative to its folder"
    assert (found[5]["image"], found[5]["error"]) == (str(images / "gone.png"), gone)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"image": "0.png"}, "line 1.*expected one of answer.*, found none -> correct this line"),
        ({"image": "0.png", "answer": "x", "locate": "y"}, "line 1.*expected one of answer.*, found answer and locate"),
        ({"image": "0.png", "answer": 3}, "field 'answer' must be a string"),
        ({"answer": "x"}, "field 'image' is missing"),
        ({"images": ["0.png"], "verify": "x"}, "expected 2 images, found 1"),
        ({"image": "0.png", "choose": "x", "boxes": [[1, 2]]}, "line 1.*: expected boxes of shape .*found .1, 2."),
        ({"image": "0.png", "guess": ["x"], "boxes": [[1, 2, 3, 4]]}, "turn 1: expected a question and its answer"),
        ({"image": "0.png", "answer": " "}, "field 'answer' is empty"),
        (
            {"image": "0.png", "anwer": "x"},
            "'anwer' is not a known field .did you mean \"answer\".*-> correct",
        ),
        ({"image": "0.png", "question": "x"}, "'question' is not a known field .did you mean \"answer\".*-> correct"),
        ({"image": "0.png", "ask": "x"}, "'ask' is not a known field .did you mean \"answer\""),
        ({"image": "0.png", "phrase": "x"}, "'phrase' is not a known field .did you mean \"locate\""),
        ({"image_path": "0.png", "answer": "x"}, "'image' is missing; 'image_path' .*did you mean \"image\""),
        ({"image": "0.png", "choose": "x", "bbox": [BOX]}, "choose needs boxes; 'bbox' .*did you mean \"boxes\""),
        ({"image": "0.png", "images": ["0.png"], "answer": "x"}, "expected 'image' or 'images', found both"),
        ({"image": "0.png", "answer": "x", "task": "vqaa"}, 'line 1.*did you mean "vqa"'),
        ({"image": "0.png", "answer": "x", "task": 5}, "line 1.*field 'task' must be a string"),
        ({"image": "0.png", "locate": "x", "threshold": 2}, "line 1.*found 2"),
        ({"image": "0.png", "locate": "x", "threshold": 10**400}, "line 1.*found int of 1329 bits"),
        (
            {"image": "0.png", "choose": "x", "boxes": [[0, 0, 9, 9]] * 1001},
            "line 1.*expected at most 1,000 boxes, found 1,001",
        ),
        ({"image": "0.png", "locate": "x", "threshold": "a"}, "line 1.*found str 'a'"),
        ({"image": "0.png", "answer": "x", "threshold": 0.5}, "line 1.*answer takes no threshold"),
        ({"image": "0.png", "answer": "x", "boxes": [BOX]}, "line 1.*answer takes no boxes"),
        ({"image": "0.png", "choose": "x"}, "line 1.*choose needs boxes"),
        ({"image": "0.png", "choose": "x", "boxes": [[10**400, 2, 3, 4]]}, "line 1.*expected boxes"),
        ({"image": "0.png", "guess": "is it red? yes", "boxes": [BOX]}, "line 1.*expected a dialogue"),
        ({"image": "0.png", "guess": [["is it red?", "maybe"]], "boxes": [BOX]}, "line 1.*answer yes, no or n/a"),
        ({"image": "0.png", "locate": "x", "confidence": 3}, "line 1.*field .confidence. is also"),
        ({"image": "0.png", "locate": "x", "error": "y"}, "line 1.*field .error. is also"),
        ({"image": "0.png", "answer": "\u200b"}, "line 1.*no words"),
    ],
)
def test_a_malformed_line_is_named(model: Path, images: Path, line: dict[str, Any], message: str) -> None:
    file = images / "bad.jsonl"
    file.write_text(json.dumps(line))
    with pytest.raises(TwelveError, match=message):
        twelve("predict", model, "--jsonl", file)


def test_a_line_has_its_own_task_and_threshold(model: Path, images: Path) -> None:
    file = images / "own.jsonl"
    asked = {"image": "0.png", "locate": "the ball"}
    several = [asked, asked | {"threshold": 1}, asked | {"threshold": 0, "task": "refcoco"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in several))
    found = lines(twelve("predict", model, "--jsonl", file, "--json")[1])
    assert [line["box"] is None for line in found] == [False, True, False]
    assert found[0]["confidence"] == found[1]["confidence"] and "threshold" not in found[1]
    found = lines(twelve("predict", model, "--jsonl", file, "--json", "--threshold", 1)[1])
    assert [line["box"] is None for line in found] == [True, True, False]


def test_a_bad_box_spoils_its_own_line_alone(model: Path, images: Path) -> None:
    file = images / "boxes.jsonl"
    asked = [
        {"image": "0.png", "choose": "what is red ?", "boxes": [[5000, 5000, 6000, 6000]]},
        {"image": "0.png", "choose": "what is red ?", "boxes": [BOX]},
        {"image": "0.png", "answer": "is it red ?"},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in asked))
    code, shown = twelve("predict", model, "--jsonl", file, "--json")
    assert code == 1 and ["error" in line for line in lines(shown)] == [True, False, False]


def test_a_last_line_counts_the_failures_and_names_the_first(model: Path, images: Path) -> None:
    file = images / "failing.jsonl"
    asked = [{"image": name, "answer": "is it red ?"} for name in ("0.png", "gone.png", "1.png", "lost.png")]
    file.write_text("".join(json.dumps(line) + "\n" for line in asked))
    said = CliRunner().invoke(cli.app, ["predict", str(model), "--jsonl", str(file)])
    assert said.exit_code == 1
    gone = f"{images / 'gone.png'}: no such image -> correct line 2 of {file}; paths are relative to its folder"
    last = f"2 of 4 questions failed; first: {file} [line 2]: {gone}"
    assert said.stderr.strip().splitlines()[-1] == last
    failed = f"gone.png: is it red ? -> error: {gone.partition(': ')[2]}"
    assert failed in said.stdout.splitlines()
    file.write_text(json.dumps(asked[0]))
    assert "failed" not in CliRunner().invoke(cli.app, ["predict", str(model), "--jsonl", str(file)]).stderr


def test_a_failed_line_names_its_image_once(model: Path, images: Path) -> None:
    """Of a file that is no image, of a box outside its image; and the image, not the line, is what is wrong."""
    text, file = images / "text.jpg", images / "wrong.jsonl"
    text.write_text("hello, I am a text")
    fine = {"image": "0.png", "answer": "is it red ?"}
    outside = {"image": "0.png", "choose": "what is red ?", "boxes": [[5000, 5000, 6000, 6000]]}
    flaw = "is not an image (checked by content) -> give a JPEG, PNG, WebP, GIF, BMP or TIFF file"
    place = "box 1 (5000, 5000, 6000, 6000) is wholly outside its image of 160x128 pixels"
    for wrong, why, told in (
        ({**fine, "image": text.name}, f"the file {flaw}", f"{text} {flaw}"),
        (outside, place, f"{images / '0.png'}: {place}"),
    ):
        file.write_text("".join(json.dumps(line) + "\n" for line in (fine, wrong)))
        said = CliRunner().invoke(cli.app, ["predict", str(model), "--jsonl", str(file), "--json"])
        failed = lines(said.stdout)[1]
        assert said.exit_code == 1 and failed["error"] == why
        assert f"1 of 2 questions failed; first: {file} [line 2]: {told}" in said.stderr
    text.unlink()


def test_boxes_in_fractions_are_told_their_unit(tmp_path: Path) -> None:
    said = r"box {} of 2: expected pixels, found numbers from 0 to 1.* -> multiply x1 and x2 by the image"
    for boxes, number in (
        ([[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1]], 1),
        ([[0.1, 0.2, 0.5, 0.6], [70, 20, 99, 80]], 1),
        ([[70, 20, 99, 80], [0.1, 0.2, 0.5, 0.6]], 2),
    ):
        with pytest.raises(InputError, match=said.format(number)):
            corners(boxes)
        file = tmp_path / "boxes.jsonl"
        file.write_text(json.dumps({"image": "0.png", "choose": "what is red ?", "boxes": boxes}))
        with pytest.raises(TwelveError, match=r"boxes\.jsonl \[line 1\]: " + said.format(number)):
            requests_in(file)
    assert corners([[0, 0, 1, 2]]) == ((0, 0, 1, 2),)


def test_which_of_two_images_is_missing(model: Path, images: Path) -> None:
    file = images / "two.jsonl"
    file.write_text(json.dumps({"images": ["0.png", "gone.png"], "verify": "both show a ball"}))
    code, shown = twelve("predict", model, "--jsonl", file, "--json")
    assert code == 1 and lines(shown)[0]["error"].startswith(f"{images / 'gone.png'}: no such image -> ")


def test_a_file_whose_images_are_all_missing_is_told_its_first_line(model: Path, images: Path) -> None:
    file = images / "none.jsonl"
    file.write_text("\n".join(json.dumps({"image": "lost.png", "answer": text}) for text in ("is it ?", "what ?")))
    with pytest.raises(TwelveError, match=r"lost\.png: no such image -> correct line 1 of .*none\.jsonl; paths "):
        twelve("predict", model, "--jsonl", file)


def test_a_file_without_lines(model: Path, images: Path) -> None:
    file = images / "empty.jsonl"
    file.write_text("\n")
    with pytest.raises(TwelveError, match=r"empty\.jsonl: the file has no lines"):
        twelve("predict", model, "--jsonl", file)


def test_the_bad_lines_of_a_file_are_listed_at_once(
    model: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first ten, each problem and each remedy once; also of lines that this model cannot answer."""
    file, good = images / "several.jsonl", {"image": "0.png", "answer": "is it red ?"}
    wrong = ["{not JSON", '{"image": "0.png"}', *('{"image": "0.png", "answer": 3}' for _ in range(10))]

    def said(asked: list[str]) -> list[str]:
        file.write_text("\n".join(asked))
        monkeypatch.setattr(sys, "argv", ["twelve", "predict", str(model), "--jsonl", str(file)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 2
        return capsys.readouterr().err.splitlines()

    *listed, same, more, last = said([json.dumps(good), *wrong, json.dumps(good)])
    assert [re.findall(r"\[line (\d+)\]", line) for line in listed] == [["2"], ["3"], ["4"]]
    assert same == f"twelve: the same: {', '.join(f'line {number}' for number in range(5, 12))}"
    assert "JSON" in listed[0] and listed[0].endswith(
        " -> correct this line; docs/predict.md shows an example of every kind"
    )
    assert (
        "expected one of" in listed[1]
        and not any(" -> " in line for line in listed[2:])
        and more == "twelve: and 2 more"
    )
    assert last == f"twelve: {file}: 12 of 14 lines are wrong, the first 10 are listed above -> correct these first"
    *listed, last = said([json.dumps(good | {"task": "vqaa"}), json.dumps(good), json.dumps(good | {"task": "gqaa"})])
    assert [re.findall(r"\[line (\d+)\]", line) for line in listed] == [["1"], ["3"]]
    assert last == f"twelve: {file}: 2 of 3 lines are wrong, listed above -> correct these lines"


def test_a_table_of_questions_is_converted_by_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ask.csv").write_text('image,question\n0.png,"red, or blue?"\n')
    with pytest.raises(TwelveError, match=rf"a table \(CSV\).* -> convert it as '{SECTION}' in docs/predict.md shows$"):
        requests_in(Path("ask.csv"))
    page = (Path(__file__).parents[2] / "docs" / "predict.md").read_text(encoding="utf-8")
    shown = page.partition(f"#### {SECTION}\n")[2].partition("```python\n")[2].partition("```")[0]
    exec(shown, {})  # our own page
    (found,) = requests_in(Path("ask.jsonl"))
    assert (found.method, found.content, found.images) == ("answer", "red, or blue?", (Path("0.png"),))


def test_half_a_character_comes_back(model: Path, images: Path, tmp_path: Path) -> None:
    file = images / "half.jsonl"
    file.write_text('{"image": "0.png", "answer": "is it red ?", "id": "\\ud800"}')
    assert lines(twelve("predict", model, "--jsonl", file, "--json")[1])[0]["id"] == "\ud800"
    assert twelve("predict", model, "--jsonl", file, "--out", tmp_path / "out.jsonl")[0] == 0
    assert lines((tmp_path / "out.jsonl").read_text())[0]["id"] == "\ud800"


def test_a_dialogue_is_one_line_of_questions_and_answers(model: Path, images: Path) -> None:
    file = images / "dialogue.jsonl"
    turns = [["is it red ?", "yes"], ["is it a ball ?", "no"]]
    file.write_text(json.dumps({"image": "0.png", "guess": turns, "boxes": [BOX]}))
    assert twelve("predict", model, "--jsonl", file)[1].startswith("0.png: is it red ? yes; is it a ball ? no -> box 1")
    assert lines(twelve("predict", model, "--jsonl", file, "--json")[1])[0]["text"] == (
        "is it red ? yes\nis it a ball ? no"
    )
