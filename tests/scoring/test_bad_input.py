"""Whatever is wrong with a file: one clear error that names the file, the record and the remedy."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from twelve.cli import app
from twelve.errors import ConfigError, DataError, TwelveError
from twelve.score import score

TASKS = ["vqa", "gqa", "nlvr2", "snli_ve", "visual7w", "guesswhat", "refcocog", "refcoco", "coco", "vg_qa"]
GARBAGE: list[bytes] = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"5",
    b"[1]",
    b"[{}]",
    b'{"a": []}',
    b'[{"a"',
    b"\xff\xfe\x00",
    b"a,b,c\n",
]
Build = Callable[[str], Any]


def run(case: Any) -> Any:
    return score(case.task, case.truth, case.predictions, case.protocol)


@pytest.mark.parametrize("task", TASKS)
def test_predictions_that_are_something_else(case: Build, task: str, tmp_path: Path) -> None:
    """Nothing, nonsense, and the official file itself in the place of the predictions."""
    full = case(task)
    path = tmp_path / f"wrong{full.predictions[0].suffix}"
    for content in (*GARBAGE, full.truth[0].read_bytes()):
        path.write_bytes(content)
        with pytest.raises(TwelveError) as caught:
            run(replace(full, predictions=[path]))
        error = caught.value
        assert error.file == path, (content[:20], error)
        assert error.remedy and "download" not in error.remedy, (content[:20], error)


def test_what_is_no_file(case: Build, tmp_path: Path) -> None:
    """A program's output (a pipe) is there, and cannot be read twice."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, problem in (("pipe", "pipe or a device -> give a file"), ("", "is a folder"), ("loop", "no such file")):
        with pytest.raises(DataError, match=problem):
            run(replace(case("vqa"), predictions=[tmp_path / name]))


@pytest.mark.parametrize("task", TASKS)
def test_truth_that_is_something_else(case: Build, task: str, tmp_path: Path) -> None:
    full = case(task)
    path = tmp_path / f"wrong{full.truth[0].suffix}"
    for content in GARBAGE:
        path.write_bytes(content)
        with pytest.raises(TwelveError) as caught:
            run(replace(full, truth=[path, *full.truth[1:]]))
        assert caught.value.remedy, (content, caught.value)


def check(case: Any, content: Any, message: str, tmp_path: Path) -> None:
    """The changed predictions raise this error, at this file."""
    path = tmp_path / f"changed{case.predictions[0].suffix}"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        run(replace(case, predictions=[path]))
    assert caught.value.file == path and caught.value.remedy
    assert caught.value.record is not None


IN_LISTS = {
    "vqa": ("question_id", "answer"),
    "gqa": ("questionId", "prediction"),
    "visual7w": ("qa_id", "candidates"),
    "refcocog": ("refexp_id", "predicted_bounding_boxes"),
    "refcoco": ("sent_id", "box"),
    "vg_qa": ("qa_id", "answer"),
}


@pytest.mark.parametrize("task", IN_LISTS)
def test_lists(case: Build, task: str, tmp_path: Path) -> None:
    """What is predicted twice, of nothing, of the wrong type, without a field, or (where all count) not at all."""
    full = case(task)
    rows = json.loads(full.predictions[0].read_text())
    key, value = IN_LISTS[task]
    check(full, [*rows, rows[0]], rf"\[entry {len(rows) + 1}\]: .* is predicted twice, first in entry 1", tmp_path)
    wrong_id = 1 if task == "gqa" else "1"
    check(full, [{**rows[0], key: wrong_id}, *rows[1:]], rf"\[entry 1\]: field '{key}' must be", tmp_path)
    check(full, [{**rows[0], value: True}, *rows[1:]], r"\[entry 1.*\]: .*(must be|expected)", tmp_path)
    check(full, [{key: rows[0][key]}, *rows[1:]], r"\[entry 1\]: .*(missing|expected)", tmp_path)
    if task not in ("gqa", "visual7w"):
        check(full, rows[1:], f"{re.escape(str(rows[0][key]))}.*1 of .* have no prediction", tmp_path)
    if task not in ("gqa", "vg_qa"):
        foreign = {**rows[0], key: 987654321}
        one = "sentence" if task.startswith("ref") else "question"
        check(full, [*rows, foreign], rf"\[{one} 987654321\]: 1 prediction has no counterpart in the", tmp_path)


def test_nlvr2(case: Build, tmp_path: Path) -> None:
    full = case("nlvr2")
    lines = full.predictions[0].read_text().splitlines()
    check(full, "\n".join([*lines, lines[0]]), f"line {len(lines) + 1}.*predicted twice", tmp_path)
    check(full, "\n".join(["identifier", *lines]), "line 1.*expected identifier,True", tmp_path)
    missing = full.predictions[0].with_name("predictions_missing.csv")
    with pytest.raises(DataError, match=r"\[example dev-\d+-\d+-0\]: 2 of 164 examples have no prediction"):
        run(replace(full, predictions=[missing]))


def test_pairs_by_their_ids(case: Build, tmp_path: Path) -> None:
    """Predictions with pairIDs, in three layouts and any order, score as those in the file's order do. (The recorded
    files' invented pairIDs repeat, so they are made distinct.)"""
    full = case("snli_ve")
    truth = [json.loads(line) for line in full.truth[0].read_text().splitlines()]
    truth = [{**row, "pairID": f"{number}.jpg#0r1n"} for number, row in enumerate(truth)]
    (tmp_path / "truth.jsonl").write_text("\n".join(map(json.dumps, truth)))
    full = replace(full, truth=[tmp_path / "truth.jsonl"])
    names = [json.loads(line)["prediction"] for line in full.predictions[0].read_text().splitlines()]
    rows = [{"pairID": row["pairID"], "label": name} for row, name in zip(truth, names, strict=True)]
    layouts = ["\n".join(map(json.dumps, rows[::-1])), rows[::-1], {row["pairID"]: row["label"] for row in rows}]
    for number, layout in enumerate(layouts):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(layout if isinstance(layout, str) else json.dumps(layout, indent=number or None))
        found = run(replace(full, predictions=[path]))
        assert (found.numbers, found.notes) == (run(full).numbers, ())
    check(full, [*rows, rows[0]], r"\[entry 95\]: .* predicted twice", tmp_path)
    check(full, rows[1:], "1 of 94 pairs have no prediction", tmp_path)
    check(full, [{**rows[0], "label": "maybe"}, *rows[1:]], r"\[entry 1\]: field 'label' must be one of", tmp_path)


def test_pairs_in_the_files_order_are_checked_by_what_they_name(case: Build, tmp_path: Path) -> None:
    full = case("snli_ve")
    truth = [json.loads(line) for line in full.truth[0].read_text().splitlines()]
    truth = [row for row in truth if row["gold_label"] != "-"]
    image = next(key for key in ("Flickr30K_ID", "Flikr30kID") if key in truth[0])
    rows = [{"prediction": "neutral"} for _ in truth]
    path = tmp_path / "order.jsonl"

    def warning(rows: list[dict[str, str]]) -> str:
        path.write_text("\n".join(map(json.dumps, rows)))
        (note,) = run(replace(full, predictions=[path])).notes
        assert note.startswith("warning: predictions name no pairs and were taken in the file's order; ")
        return note

    assert "none of them name" in warning(rows)
    rows[0]["sentence2"] = truth[0]["sentence2"]
    assert "1 of them name" in warning(rows)
    named = [row | {image: pair[image], "sentence2": pair["sentence2"]} for row, pair in zip(rows, truth, strict=True)]
    assert "all of them name" in warning(named)
    asked = ["score", "snli_ve", "--truth", str(full.truth[0]), "--predictions", str(path)]
    for words in (asked, [*asked, "--json"]):  # what reads the numbers alone must not hide it
        told = CliRunner().invoke(app, words)
        assert told.exit_code == 0 and told.stderr.startswith("warning: predictions name no pairs and were taken")
    keyed = [row | {"pairID": pair["pairID"]} for row, pair in zip(rows, truth, strict=True)]
    path.write_text("\n".join(map(json.dumps, keyed)))
    assert CliRunner().invoke(app, asked).stderr == ""
    place = next(number for number, pair in enumerate(truth) if pair["sentence2"] != truth[0]["sentence2"])
    named[place]["sentence2"] = truth[0]["sentence2"]
    path.write_text("\n".join(map(json.dumps, named)))
    with pytest.raises(DataError, match=rf"\[line {place + 1}\]: sentence2 is .*, that of the pair in this place is"):
        run(replace(full, predictions=[path]))
    place = next(number for number, pair in enumerate(truth) if pair[image] != truth[0][image])
    rows[place][image] = truth[0][image]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=rf"\[line {place + 1}\]: the image is .*, that of the pair in this place is"):
        run(replace(full, predictions=[path]))


def test_as_many_lines_as_pairs(case: Build, tmp_path: Path) -> None:
    full = case("snli_ve")
    path = tmp_path / "short.jsonl"
    path.write_text("\n".join(full.predictions[0].read_text().splitlines()[1:]))
    with pytest.raises(DataError, match="expected 94 predictions, one per labelled pair, found 93 without"):
        run(replace(full, predictions=[path]))


def test_selected_objects(case: Build, tmp_path: Path) -> None:
    full = case("guesswhat")
    games = json.loads(full.predictions[0].read_text())
    key = next(iter(games))
    text = json.dumps(games)
    check(full, text[:-1] + f', "{key}": 5}}', rf"\[{key}\]: this key occurs twice in an object", tmp_path)
    check(full, {**games, "987654321": 5}, r"\[game 987654321\]: 1 prediction has no counterpart", tmp_path)
    check(full, {**games, key: 5}, rf"\[game {key}\]: object 5 is not among the game's", tmp_path)
    check(full, {**games, key: []}, rf"\[game {key}\]: expected an object id", tmp_path)
    check(full, text.replace(json.dumps(games[key]), '{"1": NaN}'), "expected a finite number", tmp_path)
    del games[key]
    check(full, games, rf"\[game {key}\]: 1 of 106 games that count have no prediction", tmp_path)


def test_a_tie_does_not_count_in_favour_of_the_prediction(case: Build, tmp_path: Path) -> None:
    """All objects with one score, the right one first, was a perfect result."""
    full = case("guesswhat")
    games = json.loads(full.predictions[0].read_text())
    path = tmp_path / "tied.json"
    path.write_text(json.dumps({key: dict.fromkeys(scores, 1.0) for key, scores in games.items()}))
    found = run(replace(full, predictions=[path]))
    assert found.numbers["accuracy"].value == 0
    assert found.notes[0] == "106 games give their highest score to several objects, and count as wrong"


def test_games_that_do_not_count_need_no_prediction(case: Build, goldens: Path, tmp_path: Path) -> None:
    full = case("guesswhat")
    recorded = json.loads((goldens / "metrics/guesswhat/expected.json").read_text())["expected"]["test"]["games"]
    games = {g["dialogue_id"]: g["selected_object_id"] for g in recorded if g["status"] == "success"}
    path = tmp_path / "some.json"
    path.write_text(json.dumps(games))
    assert run(replace(full, predictions=[path])).numbers == run(full).numbers
    with pytest.raises(DataError, match="14 of 120 games"):
        run(replace(full, predictions=[path], protocol="all"))


def test_answers_of_two_splits(case: Build, tmp_path: Path) -> None:
    full = case("visual7w")
    other = json.loads(full.predictions[0].with_name("result_visual7w-pointing_mc_val.json").read_text())
    rows = json.loads(full.predictions[0].read_text())
    words = rf"\[question {other[0]['qa_id']}\]: 1 prediction has no counterpart in the split test"
    check(full, rows + other[:1], words, tmp_path)


def test_boxes(case: Build, tmp_path: Path) -> None:
    full = case("refcoco")
    rows = json.loads(full.predictions[0].read_text())
    for box in ([1, 2, 3], [1, 2, -3, 4], [1, 2, None, 4]):
        check(full, [{**rows[0], "box": box}, *rows[1:]], r"\[entry 1\]: field 'box' must be", tmp_path)
    check(
        full,
        [{**rows[0], "ref_id": 1}, *rows[1:]],
        r"\[entry 1\]: ref_id must be .* for this sentence, found 1",
        tmp_path,
    )
    numbers = run(full).numbers
    none = [{"sent_id": row["sent_id"], "boxes": []} if row["sent_id"] % 2 else row for row in rows]
    path = tmp_path / "none.json"
    path.write_text(json.dumps(none))
    found = run(replace(full, predictions=[path]))
    assert found.numbers == numbers and "have no box" in found.notes[0]


def test_gqa_without_the_questions_that_follow(case: Build, tmp_path: Path) -> None:
    """One missing among them is a mistake; none of them predicted leaves consistency out."""
    full = case("gqa")
    questions = json.loads(full.truth[0].read_text())
    rows = json.loads(full.predictions[0].read_text())
    balanced = [row for row in rows if questions[row["questionId"]]["isBalanced"]]
    needed = {other for key, row in questions.items() if row["isBalanced"] for other in row["entailed"] if other != key}
    first = balanced[0]["questionId"]
    check(full, [row for row in rows if row["questionId"] != first], "1 of 201 balanced questions have no", tmp_path)
    lost = next(key for key in needed if not questions[key]["isBalanced"])
    check(full, [row for row in rows if row["questionId"] != lost], "which consistency needs, have no pred", tmp_path)
    path = tmp_path / "balanced_only.json"
    path.write_text(json.dumps(balanced))
    found = run(replace(full, predictions=[path]))
    assert "consistency" not in found.numbers and found.numbers["accuracy"] == run(full).numbers["accuracy"]


def test_files_of_another_task(case: Build) -> None:
    vqa, gqa = case("vqa"), case("gqa")
    with pytest.raises(DataError, match="expected questions, choices or scene graphs"):
        run(replace(gqa, truth=vqa.truth))
    with pytest.raises(DataError, match="expected the official annotations or questions"):
        run(replace(vqa, truth=gqa.truth[:1]))
    questions = vqa.truth[0].with_name("v2_OpenEnded_mscoco_val2014_questions.json")
    with pytest.raises(DataError, match="no file of annotations among the truth"):
        run(replace(vqa, truth=[questions]))
    assert run(replace(vqa, truth=[questions, *vqa.truth])).numbers == run(vqa).numbers
    with pytest.raises(DataError, match="expected one file"):
        run(replace(vqa, predictions=vqa.predictions * 2))


def test_what_was_asked_for(case: Build, tmp_path: Path) -> None:
    full = case("vqa")
    with pytest.raises(ConfigError, match=r"unknown task 'vqaa' \(did you mean \"vqa\"\?\)"):
        run(replace(full, task="vqaa"))
    with pytest.raises(ConfigError, match=r"no protocol 'googel' \(did you mean \"google\"\?\)"):
        run(replace(case("refcoco"), protocol="googel"))
    with pytest.raises(DataError, match=r"gone\.json: no such file"):
        run(replace(full, predictions=[tmp_path / "gone.json"]))
    with pytest.raises(ConfigError, match="nothing to compare"):
        run(replace(full, truth=[]))
