"""twelve predict and twelve match: images, folders and JSON lines in, answers out."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
import torch
from typer.testing import CliRunner

from twelve import cli, threads
from twelve.errors import ConfigError, InputError, RegionError, TwelveError
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.outputs.answer import Answered
from twelve.outputs.parts.warned import Warned
from twelve.predictor import Matched, load, table
from twelve.predictor import command as commands
from twelve.predictor import search as searching
from twelve.predictor.asked import images_in, short_names

NOTE = "note: This model was trained on synthetic images only, not on photographs."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(3):
        draw(sample_scene(np.random.default_rng(number)), seed=number).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no image")
    (folder / "3.jpg").write_bytes(b"no image either")
    return folder


def twelve(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_questions_of_an_image(model: Path, images: Path) -> None:
    asked = ["--ask", "is it red ?", "--locate", "the ball", "--entails", "the ball is red"]
    code, shown = twelve("predict", model, "--image", images / "0.png", *asked)
    assert code == 0 and len(shown.splitlines()) == 3
    assert shown.startswith("0.png: is it red ? -> ")
    code, shown = twelve("predict", model, "--image", images / "0.png", *asked, "--json")
    assert [line["method"] for line in lines(shown)] == ["answer", "locate", "entails"]
    assert len(lines(shown)[1]["box"]) == 4


def test_a_line_names_the_task_where_others_could_have_answered(images: Path, tmp_path: Path) -> None:
    tasks = {"mine": ("answer", "answer"), **tiny_model.TASKS}
    model = tiny_model.make(tmp_path / "model", tasks)
    asked = ["predict", model, "--image", images / "0.png", "--ask", "is it red ?", "--entails", "it is red"]
    answered, judged = twelve(*asked)[1].splitlines()
    assert answered.endswith("; task: mine") and "; task:" not in judged  # one task alone judges
    assert twelve(*asked[:-2], "--task", "vqa")[1].rstrip().endswith("; task: vqa")
    tree = json.loads((model / "processor_config.json").read_text())
    (model / "processor_config.json").write_text(json.dumps({**tree, "left_out": ["snli_ve"]}))
    assert twelve(*asked)[1].rstrip().endswith("; task: snli_ve")


def test_a_search_names_its_task_where_others_could_have_matched(model: Path, images: Path, tmp_path: Path) -> None:
    search = ["a red ball", "a cup", "--images", images / "0.png"]
    assert twelve("match", model, *search)[1].splitlines()[::2] == ["a red ball", "a cup"]
    tasks = {**tiny_model.TASKS, "more": ("alignment", "alignment")}
    both = tiny_model.make(tmp_path / "model", tasks)
    first = next(name for name, (_, kind) in tiny_model.TASKS.items() if kind == "alignment")
    for options, name in (([], first), (["--task", "more"], "more")):
        shown = twelve("match", both, *search, *options)[1].splitlines()
        assert shown[::2] == [f"a red ball; task: {name}", f"a cup; task: {name}"]


def test_uncalibrated_scores_are_noted_once(model: Path, images: Path) -> None:
    asked = ["--ask", "is it red ?", "--entails", "it is red", "--entails", "it is blue", "--locate", "it", "--json"]
    result = CliRunner().invoke(cli.app, ["predict", str(model), "--image", str(images / "0.png"), *asked])
    notes = [line for line in result.stderr.splitlines() if "calibrated" in line]
    assert notes == ["confidence of refcoco is not calibrated", "confidence of snli_ve is not calibrated"]  # vqa's are
    assert len(lines(result.stdout)) == 4
    result = CliRunner().invoke(cli.app, ["predict", str(model), "--image", str(images / "0.png"), *asked[:-1]])
    said = [line.endswith("; not calibrated") for line in result.stdout.splitlines()]
    assert said == [False, True, True, True] and "calibrated" not in result.stderr  # lines of text say it themselves


def test_a_search_says_that_its_shares_are_not_calibrated(model: Path, images: Path, tmp_path: Path) -> None:
    searched = ["a red ball", "--images", images / "0.png"]
    assert twelve("match", model, *searched)[1].splitlines() == ["a red ball", "  1. 0.png (100%); not calibrated"]
    other = shutil.copytree(model, tmp_path / "model")
    tree = json.loads((other / "processor_config.json").read_text())
    (other / "processor_config.json").write_text(json.dumps({**tree, "temperatures": {"coco": 2.0}}))
    assert twelve("match", other, *searched)[1].splitlines() == ["a red ball", "  1. 0.png (100%)"]


def test_a_folder_with_a_damaged_image(model: Path, images: Path, tmp_path: Path) -> None:
    out, drawn = tmp_path / "out.jsonl", tmp_path / "drawn"
    code, shown = twelve("predict", model, "--image", images, "--ask", "is it red ?", "--out", out, "--draw", drawn)
    assert code == 1 and not shown
    found = lines(out.read_text())
    assert [Path(line["image"]).name for line in found] == ["0.png", "1.png", "2.png", "3.jpg"]
    assert "error" in found[3] and all("answer" in line for line in found[:3])
    assert sorted(path.name for path in drawn.iterdir()) == ["00000-0.png", "00001-1.png", "00002-2.png"]


def test_a_file_that_is_no_image_has_one_diagnosis(model: Path, images: Path, tmp_path: Path) -> None:
    """Alone, where the command refuses it, and beside an image, where only its own question fails."""
    text = tmp_path / "hello.jpg"
    text.write_text("hello, I am a text")
    told = f"{text} is not an image (checked by content) -> give a JPEG, PNG, WebP, GIF, BMP or TIFF file"
    for others in ([], ["--image", images / "0.png"]):
        words = ["predict", model, "--image", text, *others, "--ask", "is it red ?"]
        said = CliRunner().invoke(cli.app, list(map(str, words)))
        assert said.exit_code == 1 and told in said.output + str(said.exception)
    assert "hello.jpg: is it red ? -> error: the file is not an image (checked by content)" in said.stdout


def test_answers_as_a_table(model: Path, images: Path, tmp_path: Path) -> None:
    out, asked = tmp_path / "out.csv", 'is it "red", or\tblue ?'
    words = ["--image", images, "--ask", asked, "--locate", "the ball", "--entails", "it is red", "--out", out]
    for _ in range(2):  # a table is replaced by another
        said = CliRunner().invoke(cli.app, ["predict", str(model), *map(str, words)])
    assert said.exit_code == 1 and not said.stdout and f"9 answers written to {out}\n" in said.stderr
    assert f"\nreplaced the earlier {out} (12 results)\n" in said.stderr
    assert len(out.read_text().splitlines()) == 13
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "image",
        "question",
        "answer",
        "confidence",
        "error",
        "calibrated",
        "reliable",
        "codes",
        "warnings",
    ]
    assert [Path(row["image"]).name for row in rows] == [
        f"{n}.{'jpg' if n == 3 else 'png'}" for n in range(4) for _ in "123"
    ]
    assert [row["question"] for row in rows[:3]] == ['is it "red", or blue ?', "the ball", "it is red"]
    shown = lines(twelve("predict", model, *words[:-2], "--json")[1])
    assert [row["answer"] for row in rows[::3]] == [line.get("answer", "") for line in shown[::3]]
    assert [row["answer"] for row in rows[2::3]] == [line.get("label", "") for line in shown[2::3]]
    for row, line in zip(rows, shown, strict=True):
        assert (row["error"], row["confidence"] == "") == (line.get("error", ""), "error" in line)
        assert "error" in line or float(row["confidence"]) == pytest.approx(line["confidence"], abs=1e-6)
        assert row["calibrated"] == ("" if "error" in line else str(line["calibrated"]).lower())
        assert row["reliable"] == ("" if "error" in line else str(line["reliable"]).lower())
        assert row["warnings"] == "; ".join(each["text"] for each in line.get("warnings", []))
        assert row["codes"] == " ".join(each["code"] for each in line.get("warnings", []))
    assert [row["calibrated"] for row in rows[-6:]] == ["true", "false", "false", "", "", ""]
    for others in ("", ",calibrated,warnings", ",calibrated,reliable,codes,warnings"):  # of earlier versions
        out.write_text(f"image,question,answer,score,error{others}\n")
        assert twelve("predict", model, *words)[0] == 1 and len(out.read_text().splitlines()) == 13
    assert [float(side) for side in rows[1]["answer"].split()] == pytest.approx(shown[1]["box"], abs=0.06)
    out.write_text("image,label\n0.png,red\n")
    with pytest.raises(ConfigError, match="does not contain results, so it is not replaced"):
        twelve("predict", model, *words)


def test_warnings_in_a_table_are_in_one_cell() -> None:
    told = Warned("unusual_image", "it is\nodd"), Warned("long_text", "a, or b"), Warned("long_text", "c")
    found = Answered(text="it", task="vqa", confidence=0.5, answer="red", warnings=told)
    assert (
        table.row("0.png", "it", found, "")
        == '0.png,it,red,0.5,,false,false,unusual_image long_text,"it is odd; a, or b; c"'
    )


def test_two_images_and_no_box_in_a_table(model: Path, images: Path, tmp_path: Path) -> None:
    file, out = images / "tabled.jsonl", tmp_path / "out.csv"
    asked: list[dict[str, Any]] = [
        {"images": ["0.png", "1.png"], "verify": "both show a ball"},
        {"image": "0.png", "locate": "the ball", "threshold": 1},
        {"image": "0.png", "choose": "what is red ?", "boxes": [[0, 0, 30, 30], [20, 20, 90, 80]]},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in asked))
    assert twelve("predict", model, "--jsonl", file, "--out", out)[0] == 0
    both, none, chosen = csv.reader(out.read_text().splitlines()[1:])
    assert both[0] == f"{images / '0.png'} + {images / '1.png'}" and both[2] in ("true", "false")
    assert none[2] == "" and none[3] and chosen[2] in ("0.0 0.0 30.0 30.0", "20.0 20.0 90.0 80.0")


def test_an_image_of_too_many_pixels_is_told_without_an_option_that_predict_lacks(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "huge.ppm"
    file.write_bytes(b"P6 10000 10000 255\n")
    said = CliRunner().invoke(cli.app, ["predict", str(model), "--image", str(file), "--ask", "is it red ?"])
    remedy = "10000x10000 are more than 89,478,485 pixels -> scale it down\n"
    assert said.exit_code == 1 and said.stdout.endswith(remedy) and said.stderr.endswith("the question failed\n")
    assert "--max-pixels" not in said.output
    with pytest.raises(InputError, match=r"huge\.ppm: .* 89,478,485 pixels -> scale it down$"):
        load(model).scene(file)


def test_an_image_that_match_skips_is_told_with_its_remedy(model: Path, images: Path, tmp_path: Path) -> None:
    file = tmp_path / "huge.ppm"
    file.write_bytes(b"P6 10000 10000 255\n")
    said = CliRunner().invoke(cli.app, ["match", str(model), "a ball", "--images", str(file), "--images", str(images)])
    assert said.exit_code == 1 and f"skipped: {file}: 10000x10000 are more than" in said.stderr
    assert "89,478,485 pixels -> scale it down\n" in said.stderr


def test_nothing_to_ask(model: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(TwelveError, match=r"no question to ask -> add --ask, --locate or --entails$"):
        twelve("predict", model, "--image", images)
    with pytest.raises(TwelveError, match=r"no question to ask -> give --image and --ask, .*; or --jsonl FILE$"):
        twelve("predict", model)
    with pytest.raises(TwelveError, match="no such image"):
        twelve("predict", model, "--image", tmp_path / "x.png", "--ask", "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TwelveError, match="no images in this folder"):
        twelve("predict", model, "--image", tmp_path / "empty", "--ask", "x")


@pytest.fixture
def library(images: Path, tmp_path: Path) -> Path:
    """Images in subfolders, of which two share a name; and what is not searched."""
    place = tmp_path / "library"
    for name in (
        "0.png",
        "2025/0.png",
        "2025/may/1.png",
        "2025/.hidden/1.png",
        ".hidden/2025/1.png",
        "elsewhere/1.png",
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images / f"{len(name) % 3}.png", place / name)
    (place / "elsewhere").rename(tmp_path / "elsewhere")
    (place / "linked").symlink_to(tmp_path / "elsewhere")
    (place / "2025" / "above").symlink_to(place)
    (place / "linked.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    return place


def test_subfolders_are_searched_but_neither_hidden_ones_nor_links_to_folders(
    model: Path, library: Path, tmp_path: Path
) -> None:
    names = ["0.png", "2025/0.png", "2025/may/1.png", "linked.png"]
    assert images_in([library]) == [library / name for name in names]
    twice = [library / "2025", library, library / "0.png", library / ".." / "library"]
    assert images_in(twice) == [library / names[1], library / names[2], library / names[0], library / names[3]]
    assert images_in([library / ".hidden"]) == [library / ".hidden" / "2025" / "1.png"]
    assert images_in([library / "linked"]) == [library / "linked" / "1.png"]
    shown = twelve("match", model, "a boat", "--images", library)[1].splitlines()
    assert {line.split()[1] for line in shown[1:]} == set(names)
    shown = twelve("predict", model, "--image", library, "--ask", "is it red?")[1].splitlines()
    assert [line.split(": ")[0] for line in shown] == names
    (tmp_path / "none" / ".hidden").mkdir(parents=True)
    shutil.copy(library / "0.png", tmp_path / "none" / ".hidden")
    with pytest.raises(TwelveError, match="no images in this folder, nor in its subfolders -> name a folder of images"):
        images_in([tmp_path / "none"])


def test_drawings_in_a_folder_of_images_are_not_asked_about(model: Path, library: Path) -> None:
    words = ["predict", model, "--image", library, "--ask", "is it red?", "--draw", library / "2025" / "drawn"]
    first, again = twelve(*words), twelve(*words)
    assert first == again and len(first[1].splitlines()) == len(list((library / "2025" / "drawn").iterdir())) == 4


def test_a_subfolder_that_cannot_be_listed_is_told_as_an_image_is(
    model: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, listing, allowed = str(library / "2025" / "may"), os.scandir, os.access

    def refusing(path: str) -> object:
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return listing(path)

    monkeypatch.setattr(os, "scandir", refusing)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != closed and allowed(path, mode))
    run = CliRunner().invoke(cli.app, ["match", str(model), "a boat", "--images", str(library)])
    assert run.exit_code == 1 and len(run.stdout.splitlines()) == 4
    assert any(
        line.startswith(f"skipped: {closed} ") and "that you may not read" in line for line in run.stderr.splitlines()
    )


def test_images_in_the_place_of_captions_are_told_how_to_be_named(model: Path, images: Path) -> None:
    """A shell makes of --images *.png the first image, and captions of the others."""
    remedy = f"write --images before each image, or name their folder: --images {images}"
    with pytest.raises(InputError, match=re.escape(f"found the image {images / '1.png'} -> {remedy}")):
        twelve("match", model, "a red ball", "--images", *(images / f"{number}.png" for number in range(3)))


def test_searching_with_a_sentence(model: Path, images: Path, tmp_path: Path) -> None:
    """One of the images cannot be read: exit code 1, and the others are shown all the same."""
    code, shown = twelve("match", model, "a red ball", "a thing", "--images", images, "--top", 2)
    assert code == 1
    assert [line.strip()[:2] for line in shown.splitlines()] == ["a ", "1.", "2.", "a ", "1.", "2."]
    code, shown = twelve("match", model, "a red ball", "--images", images, "--json")
    fresh = json.loads(shown)
    assert code == 1 and len(fresh["captions"][0]["images"]) == 3
    store = tmp_path / "regions"
    extract = ["--images", images, "--boxes", "detect", "--backbone", "microworld", "--source", "own"]
    assert twelve("regions", "extract", *extract, "--out", store)[0] == 1  # the same one is skipped
    code, shown = twelve("match", model, "a red ball", "--images", images, "--json", "--regions", store)
    assert np.allclose(json.loads(shown)["logits"], fresh["logits"], atol=1e-5)
    with pytest.raises(RegionError, match="nope: no such region store"):
        twelve("match", model, "a red ball", "--images", images, "--regions", tmp_path / "nope")


def test_images_of_one_name_are_told_apart(model: Path, images: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(images / "0.png", tmp_path / name)
    shutil.copy(images / "1.png", tmp_path / "two")
    folders = ["--images", tmp_path / "one", "--images", tmp_path / "two"]
    code, shown = twelve("match", model, "a red ball", *folders)
    assert code == 0
    names = {line.split()[1] for line in shown.splitlines()[1:]}
    assert names == {str(tmp_path / name) for name in ("one/0.png", "two/0.png", "two/1.png")}
    both = ["--image", tmp_path / "one" / "0.png", "--image", tmp_path / "two", "--ask", "is it red ?"]
    shown = twelve("predict", model, *both)[1]
    assert {line.split(": ")[0] for line in shown.splitlines()} == names
    found = json.loads(twelve("match", model, "a red ball", *folders, "--json")[1])
    named = {image["image"] for image in found["captions"][0]["images"]}
    assert named == names
    within = [*folders[:2], "--images", tmp_path]
    assert {line.split()[1] for line in twelve("match", model, "a red ball", *within)[1].splitlines()[1:]} >= {
        "one/0.png",
        "two/0.png",
        "two/1.png",
    }


def test_images_of_different_folders_are_named_as_they_were_written(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(images / "0.png", "own.png")
    both = [Path("own.png"), images / "1.png"]
    assert short_names(both, both) == {both[0]: "own.png", both[1]: str(images / "1.png")}
    assert list(short_names(both[1:], both[1:]).values()) == ["1.png"]
    file = tmp_path / "ask.jsonl"
    inside = [tmp_path / "a" / "0.png", tmp_path / "b" / "1.png"]
    assert list(short_names(inside, [file]).values()) == ["a/0.png", "b/1.png"]


@pytest.mark.parametrize("caption", ["", "  ", "\u200b"])
def test_a_caption_says_something(model: Path, images: Path, caption: str) -> None:
    with pytest.raises(InputError, match=r"no words|is empty"):
        twelve("match", model, caption, "--images", images / "0.png")


def test_little_is_not_shown_as_nothing(model: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Matched, "ranked_images", lambda self, caption: [(str(images / "0.png"), 0.0001)])
    assert "0.png (<0.1%)" in twelve("match", model, "a red ball", "--images", images / "0.png")[1]


def test_task_and_threshold_of_all_questions(model: Path, images: Path) -> None:
    asked = ["predict", model, "--image", images / "0.png", "--locate", "the ball", "--json"]
    assert lines(twelve(*asked)[1])[0]["box"] is not None
    assert lines(twelve(*asked, "--threshold", 1)[1])[0]["box"] is None
    assert lines(twelve(*asked, "--task", "refcoco")[1])[0]["task"] == "refcoco"
    with pytest.raises(InputError, match='did you mean "refcoco"'):
        twelve(*asked, "--task", "refcocoo")
    with pytest.raises(InputError, match="found 2"):
        twelve(*asked, "--threshold", 2)
    with pytest.raises(ConfigError, match="--threshold requires --locate"):
        twelve("predict", model, "--image", images / "0.png", "--ask", "is it red ?", "--threshold", 0.5)


def test_output_files_are_checked_before_the_work(model: Path, images: Path, tmp_path: Path) -> None:
    """A folder of the user's is not replaced, nor what is read, through whatever link; the model is not even opened."""
    unread = tmp_path / "model"
    unread.mkdir()
    for name in ("config.json", "processor_config.json"):
        (unread / name).touch()
    shutil.copy(images / "0.png", tmp_path / "0.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "0.png")
    (tmp_path / "00000-0.png").symlink_to(tmp_path / "0.png")
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"image": "0.png", "answer": "is it red ?"}))
    before = (tmp_path / "0.png").read_bytes()
    notes = tmp_path / "notes.txt"
    notes.write_text('{"image": "my own"}\n')
    for options, message in (
        (["--out", tmp_path], "found a folder"),
        (["--out", tmp_path / "a.XLSX"], f"found .XLSX -> write to {tmp_path}/a.csv, which spreadsheets open"),
        (["--out", tmp_path / "0.png"], "0.png: this input file would be replaced"),
        (["--out", tmp_path / "link.png"], "link.png: this input file would be replaced"),
        (["--out", notes], "notes.txt: this file exists and does not contain results"),
        (["--draw", tmp_path / "0.png"], "found a file"),
        (["--draw", tmp_path], "00000-0.png: this input file would be replaced"),
    ):
        for asked in (["--image", tmp_path / "0.png", "--ask", "is it red ?"], ["--jsonl", questions]):
            with pytest.raises(TwelveError, match=message):
                twelve("predict", unread, *asked, *options)
    with pytest.raises(TwelveError, match=r"questions\.jsonl: this input file would be replaced"):
        twelve("predict", unread, "--jsonl", questions, "--out", questions)
    assert (tmp_path / "0.png").read_bytes() == before and notes.read_text() == '{"image": "my own"}\n'
    asked = ["--image", tmp_path / "0.png", "--ask", "is it red ?", "--out", tmp_path / "said.jsonl"]
    (tmp_path / "said.jsonl").touch()
    for replaced in (False, True):  # nothing, and answers of before, are replaced
        said = CliRunner().invoke(cli.app, ["predict", str(model), *map(str, asked)])
        told = f"replaced the earlier {tmp_path / 'said.jsonl'} (1 result)\n"
        assert said.exit_code == 0 and (told in said.stderr) == replaced and not said.stdout
    assert len(lines((tmp_path / "said.jsonl").read_text())) == 1


def test_threads_are_measured_where_much_is_asked(model: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One question costs no measuring, nor does a search, which is side by side; many are answered as before."""
    measured: list[int] = []
    real = threads.measure

    def measure(*arguments: Any, **options: Any) -> Any:
        measured.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(threads, "measure", measure)
    monkeypatch.setattr(threads, "most", lambda processes=1: 2)
    asked = ["predict", model, "--image", images / "0.png", *["--ask", "is it red ?"] * 3]
    search = ["match", model, "a red ball", "a thing", "--images", images]
    usual = [twelve(*asked), twelve(*search)]
    assert not measured
    before = torch.get_num_threads()
    monkeypatch.setattr(searching, "MANY", 3)
    assert [twelve(*asked), twelve(*search)] == usual and len(measured) == 1
    assert torch.get_num_threads() == before


def test_what_no_terminal_may_be_told(model: Path, images: Path, tmp_path: Path) -> None:
    """Escape codes, and names that are not UTF-8, are spelt out in text; JSON has them in ASCII."""
    image = tmp_path / os.fsdecode(b"caf\xe9\x1b[31m.png")
    shutil.copy(images / "0.png", image)
    asked = ["predict", model, "--image", tmp_path, "--ask", "is it red ?"]
    code, shown = twelve(*asked)
    assert code == 0 and "\x1b" not in shown and shown.startswith("caf\\udce9\\x1b[31m.png: is it red ?")
    assert lines(twelve(*asked, "--json")[1])[0]["image"] == str(image)
    assert twelve(*asked, "--out", tmp_path / "out.jsonl")[0] == 0
    assert lines((tmp_path / "out.jsonl").read_text())[0]["image"] == str(image)
    code, shown = twelve("match", model, "a ball", "--images", tmp_path)
    assert code == 0 and "\x1b" not in shown
    for refused in ([*asked[:-1], "\x1b[31mred ?"], ["match", model, "\x1b[31m ball", "--images", tmp_path]):
        with pytest.raises(InputError, match=r"the control character U\+001B: '\\x1b"):
            twelve(*refused)
    found = json.loads(twelve("match", model, "a ball", "--images", tmp_path, "--json")[1])
    assert found["captions"][0]["images"][0]["image"] == str(image)


def test_the_error_of_a_single_question_is_printed_once(model: Path, images: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes((images / "0.png").read_bytes()[:100])
    asked = ["predict", str(model), "--image", str(broken), "--ask", "is it red ?"]
    said = CliRunner().invoke(cli.app, asked)
    assert said.exit_code == 1 and "broken.png: is it red ? -> error: " in said.stdout
    assert said.stderr == f"{NOTE}\nthe question failed\n"
    said = CliRunner().invoke(cli.app, [*asked, "--json"])
    assert said.exit_code == 1 and json.loads(said.stdout)["error"] in said.stderr
    assert "broken.png" not in json.loads(said.stdout)["error"]


def test_a_reader_that_leaves_is_no_failure(model: Path, images: Path) -> None:
    command = [sys.executable, "-m", "twelve", "predict", str(model), "--image", str(images)]
    asking = subprocess.Popen([*command, "--ask", "is it red ?"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert asking.stdout is not None and asking.stderr is not None
    asking.stdout.close()
    assert (asking.wait(120), asking.stderr.read()) == (141, f"{NOTE}\n".encode())


def test_a_model_of_synthetic_images_says_so_once(model: Path, images: Path, tmp_path: Path) -> None:
    """In the words of the page, on stderr, so that results stay as they are."""
    for words in (["predict", str(model), "--ask", "is it red ?", "--image"], ["match", str(model), "red", "--images"]):
        for options in ([], ["--json"]):
            said = CliRunner().invoke(cli.app, [*words, str(images / "0.png"), *options])
            assert said.exit_code == 0 and said.stderr.splitlines().count(NOTE) == 1 and "synthetic" not in said.stdout
    other = shutil.copytree(model, tmp_path / "model")
    file = other / "processor_config.json"
    file.write_text(file.read_text().replace(r"\"backbone\": \"microworld\"", r"\"backbone\": \"resnet18\""))
    assert load(model).note == NOTE.removeprefix("note: ") and load(other).note is None


@pytest.mark.parametrize("device", ["foo", "cuda:77", "meta"])
def test_a_device_that_is_not_here(model: Path, images: Path, device: str) -> None:
    for command in (
        ["predict", model, "--image", images / "0.png", "--ask", "is it red ?"],
        ["match", model, "a ball", "--images", images / "0.png"],
    ):
        with pytest.raises(ConfigError, match=r"cannot be used.*choose --device cpu"):
            twelve(*command, "--device", device)


def test_finished_answers_of_an_interrupted_run_are_kept(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.jsonl"
    asked = ["predict", model, "--image", images / "0.png", "--image", images / "1.png", "--ask", "is it red ?"]
    assert twelve(*asked, "--out", out)[0] == 0
    before, whole = out.read_bytes(), commands.predict

    def interrupted(*arguments: Any) -> Any:
        yield next(iter(whole(*arguments)))
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "predict", interrupted)
    for name in ("o.jsonl.part", "o.jsonl.part2"):  # those of an earlier run stay
        result = CliRunner().invoke(cli.app, [*map(str, asked), "--out", str(out)])
        assert result.exit_code == 130 and f"1 finished answer kept in {tmp_path / name}" in result.stderr
        assert (tmp_path / name).read_bytes() == before.splitlines(keepends=True)[0]
    assert out.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["o.jsonl", "o.jsonl.part", "o.jsonl.part2"]
    result = CliRunner().invoke(cli.app, [*map(str, asked), "--out", str(tmp_path / "o.csv")])
    assert f"1 finished answer kept in {tmp_path / 'o.csv.part'}" in result.stderr  # the header is none
    assert len((tmp_path / "o.csv.part").read_text().splitlines()) == 2


def test_questions_without_an_image_say_so(model: Path, images: Path) -> None:
    with pytest.raises(ConfigError, match=r"no image to ask about -> add --image FILE"):
        twelve("predict", model, "--ask", "what?")
    with pytest.raises(ConfigError, match=r"no question to ask"):
        twelve("predict", model, "--image", images)
