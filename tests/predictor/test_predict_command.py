"""twelve predict and twelve match: pictures, folders and JSON lines in, answers out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from typer.testing import CliRunner

from twelve import cli
from twelve.errors import TwelveError
from twelve.microworld.draw import draw
from twelve.microworld.scene import draw_scene


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        draw(draw_scene(np.random.default_rng(number)), seed=number).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "3.jpg").write_bytes(b"no picture either")
    return folder


def twelve(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_questions_of_a_picture(model: Path, pictures: Path) -> None:
    asked = ["--ask", "is it red ?", "--locate", "the ball", "--entails", "the ball is red"]
    code, shown = twelve("predict", model, "--image", pictures / "0.png", *asked)
    assert code == 0 and len(shown.splitlines()) == 3
    assert shown.startswith("0.png: is it red ? -> ")
    code, shown = twelve("predict", model, "--image", pictures / "0.png", *asked, "--json")
    assert [line["method"] for line in lines(shown)] == ["answer", "locate", "entails"]
    assert len(lines(shown)[1]["box"]) == 4


def test_a_folder_with_a_damaged_picture(model: Path, pictures: Path, tmp_path: Path) -> None:
    out, drawn = tmp_path / "out.jsonl", tmp_path / "drawn"
    code, shown = twelve("predict", model, "--image", pictures, "--ask", "is it red ?", "--out", out, "--draw", drawn)
    assert code == 1 and not shown
    found = lines(out.read_text())
    assert [Path(line["image"]).name for line in found] == ["0.png", "1.png", "2.png", "3.jpg"]
    assert "error" in found[3] and all("answer" in line for line in found[:3])
    assert sorted(path.name for path in drawn.iterdir()) == ["00000-0.png", "00001-1.png", "00002-2.png"]


def test_lines_ask_anything(model: Path, pictures: Path) -> None:
    boxes = [[0, 0, 30, 30], [20, 20, 90, 80]]
    asked = [
        {"image": "0.png", "answer": "is it red ?", "id": 7},
        {"image": "0.png", "choose": "what is red ?", "boxes": boxes},
        {"image": "1.png", "guess": [["is it red ?", "yes"]], "boxes": boxes},
        {"images": ["0.png", "1.png"], "verify": "both show a ball"},
        {"image": "gone.png", "locate": "the ball"},
    ]
    file = pictures / "ask.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in asked))
    code, shown = twelve("predict", model, "--jsonl", file, "--json")
    found = lines(shown)
    assert code == 1 and [line["method"] for line in found] == ["answer", "choose", "guess", "verify", "locate"]
    assert found[0]["id"] == 7 and found[1]["index"] in (0, 1) and found[3]["true"] in (True, False)
    assert found[4]["error"].startswith("No such file")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"image": "0.png"}, "line 1.*asks one thing"),
        ({"image": "0.png", "answer": "x", "locate": "y"}, "line 1.*asks one thing"),
        ({"image": "0.png", "answer": 3}, "field 'answer' must be a string"),
        ({"answer": "x"}, "field 'image' is missing"),
        ({"images": ["0.png"], "verify": "x"}, "asked of 2 pictures, 1 given"),
        ({"image": "0.png", "choose": "x", "boxes": [[1, 2]]}, "field 'boxes': boxes of shape"),
        ({"image": "0.png", "guess": ["x"], "boxes": [[1, 2, 3, 4]]}, "must be a list of .question, answer."),
        ({"image": "0.png", "answer": " "}, "field 'answer' is empty"),
    ],
)
def test_a_malformed_line_is_named(model: Path, pictures: Path, line: dict[str, Any], message: str) -> None:
    file = pictures / "bad.jsonl"
    file.write_text(json.dumps(line))
    with pytest.raises(TwelveError, match=message):
        twelve("predict", model, "--jsonl", file)


def test_nothing_to_ask(model: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(TwelveError, match="nothing to ask"):
        twelve("predict", model, "--image", pictures)
    with pytest.raises(TwelveError, match="no such picture"):
        twelve("predict", model, "--image", tmp_path / "x.png", "--ask", "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TwelveError, match="no pictures in this folder"):
        twelve("predict", model, "--image", tmp_path / "empty", "--ask", "x")


def test_searching_with_a_sentence(model: Path, pictures: Path, tmp_path: Path) -> None:
    code, shown = twelve("match", model, "a red ball", "a thing", "--images", pictures, "--top", 2)
    assert code == 0
    assert [line.strip()[:2] for line in shown.splitlines()] == ["a ", "1.", "2.", "a ", "1.", "2."]
    code, shown = twelve("match", model, "a red ball", "--images", pictures, "--json")
    fresh = json.loads(shown)
    assert len(fresh["captions"][0]["images"]) == 3
    store = tmp_path / "regions"
    extract = ["--images", pictures, "--boxes", "detect", "--backbone", "microworld", "--source", "own"]
    assert twelve("regions", "extract", *extract, "--out", store)[0] == 0
    code, shown = twelve("match", model, "a red ball", "--images", pictures, "--json", "--regions", store)
    assert np.allclose(json.loads(shown)["logits"], fresh["logits"], atol=1e-5)
