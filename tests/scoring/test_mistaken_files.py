"""Well-written files that are not what was asked for: the error or the note says so, and what to give instead."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from twelve.errors import ConfigError, DataError
from twelve.score import score

Build = Callable[[str], Any]
TASKS = ["vqa", "gqa", "nlvr2", "snli_ve", "visual7w", "guesswhat", "refcocog", "refcoco", "coco", "vg_qa"]


def run(case: Any) -> Any:
    return score(case.task, case.truth, case.predictions, case.protocol)


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("task", ["vqa", "gqa", "nlvr2", "visual7w", "snli_ve", "refcocog", "coco", "guesswhat"])
def test_truth_and_predictions_swapped(case: Build, task: str) -> None:
    full = case(task)
    swapped = replace(full, truth=full.predictions[:1], predictions=full.truth[:1])
    with pytest.raises(DataError, match="look swapped") as caught:
        run(swapped)
    truth, results = full.truth[0], full.predictions[0]
    assert caught.value.file == results and caught.value.remedy == f"give --truth {truth} --predictions {results}"


def test_swapped_files_of_different_splits(case: Build) -> None:
    """They read as truth and predictions, though they do not fit."""
    full = case("snli_ve")
    dev = full.truth[0].with_name("predictions_dev.jsonl")
    with pytest.raises(DataError, match="look swapped"):
        run(replace(full, truth=[dev], predictions=full.truth))


@pytest.mark.parametrize("task", TASKS)
def test_truth_as_predictions(case: Build, task: str, tmp_path: Path) -> None:
    """The same file, a copy of it, and one in which a byte is another: nothing of it is taken for a prediction."""
    full = case(task)
    for truth in full.truth:
        copy = tmp_path / f"results{truth.suffix}"
        copy.write_bytes(truth.read_bytes())
        for path in (truth, copy):
            with pytest.raises(DataError, match=f"the predictions are the official file {re.escape(truth.name)}"):
                run(replace(full, predictions=[path, *full.predictions[1:]]))
        copy.write_bytes(truth.read_bytes() + b"\n")
        with pytest.raises(DataError) as caught:
            run(replace(full, predictions=[copy, *full.predictions[1:]]))
        assert caught.value.file == copy and caught.value.remedy and "download" not in caught.value.remedy


@pytest.mark.parametrize("task", ["snli_ve", "vg_qa"])
def test_records_of_the_truth_as_predictions(case: Build, task: str, tmp_path: Path) -> None:
    """Layouts that are a prediction's but for the name of a field, written as predictions may be."""
    full = case(task)
    text = full.truth[0].read_text()
    rows = [json.loads(line) for line in text.splitlines()] if task == "snli_ve" else json.loads(text)[0]["qas"]
    if task == "snli_ve":
        named = {row["pairID"]: row for row in rows}
        variants = [[*named.values()], [{**row, "label": row["gold_label"]} for row in named.values()]]
        variants.append([{key: row[key] for key in ("pairID", "gold_label")} for row in named.values()])
        variants.append([{"gold_label": row["gold_label"]} for row in rows])
        variants.append([{"sentence2": row["sentence2"], "label": row["gold_label"]} for row in rows])
    else:
        variants = [[{**row, "a_objects": [], "q_objects": []} for row in rows]]
    for number, variant in enumerate(variants):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("\n".join(map(json.dumps, variant)))
        listed = write(tmp_path / f"{number}.json", variant)
        for predictions in (path, listed) if task == "snli_ve" else (listed,):
            with pytest.raises(DataError, match=r"(record|question) of the official file") as caught:
                run(replace(full, predictions=[predictions]))
            assert str(caught.value.remedy).startswith("write each prediction as {")
    if task == "snli_ve":  # a prediction beside the pair's own fields is one
        beside = [{**row, "prediction": "neutral"} for row in rows]
        path.write_text("\n".join(map(json.dumps, [{k: v for k, v in row.items() if k != "pairID"} for row in beside])))
        assert run(replace(full, predictions=[path])).headline.mean < 100


def test_damaged_truth_does_not_look_swapped(case: Build, tmp_path: Path) -> None:
    full = case("visual7w")
    path = tmp_path / "truth.json"
    path.write_text(full.truth[0].read_text()[:-9])
    with pytest.raises(DataError) as caught:
        run(replace(full, truth=[path]))
    assert "swapped" not in str(caught.value)


def test_two_files_of_references(case: Build, tmp_path: Path) -> None:
    full = case("refcoco")
    other = tmp_path / "refs(google).p"
    other.write_bytes(full.truth[0].read_bytes())
    with pytest.raises(
        DataError, match=r"expected one file of references, found refs\(google\)\.p and refs\(unc\)\.p"
    ) as caught:
        run(replace(full, truth=[full.truth[1], other, full.truth[0]]))
    assert caught.value.file == full.truth[0] and "pass the one" in str(caught.value.remedy)


def test_incomplete_references(case: Build) -> None:
    full = case("refcoco")
    for truth, missing in ((full.truth[:1], "no instances.json"), (full.truth[1:], r"no refs\(...\)\.p")):
        with pytest.raises(DataError, match=f"{missing} among the truth files") as caught:
            run(replace(full, truth=truth))
        assert "google_refexp" not in str(caught.value.remedy)


def test_truth_of_another_dataset(case: Build, tmp_path: Path) -> None:
    coco, toolbox = case("coco"), case("refcocog")
    path = tmp_path / "dataset_coco.json"
    content = json.loads(path.read_text())
    assert run(replace(coco, truth=[write(path, content | {"dataset": "coco"})])).numbers == run(coco).numbers
    with pytest.raises(DataError, match="expected dataset 'coco', found 'flickr30k'"):
        run(replace(coco, truth=[write(path, content | {"dataset": "flickr30k"})]))
    for task in ("refcoco", "refcoco+"):
        with pytest.raises(DataError, match=r"this file is of another dataset -> pass .*, or score refcocog"):
            run(replace(toolbox, task=task))


def test_boxes_in_another_layout(case: Build, tmp_path: Path) -> None:
    """Boxes as x1, y1, x2, y2 are read as they must be written, and the output says that they look otherwise."""
    full = case("refcoco")
    content = json.loads(full.truth[1].read_text())
    rows = [
        {**row, "box": [row["box"][0] % 9e3, *row["box"][1:]]} for row in json.loads(full.predictions[0].read_text())
    ]
    path = write(tmp_path / "right.json", rows)
    assert run(replace(full, predictions=[path])).notes == ()
    far = [{**row, "box": [x, y, x + w, y + h]} for row in rows for x, y, w, h in [row["box"]]]
    (note,) = run(replace(full, predictions=[write(path, far)])).notes
    assert re.match(
        r"warning: \d+ of 32 boxes extend beyond their images when read as x, y, width, height, but not as", note
    )
    moved = [{**row, "box": [row["box"][0] + 9e3, *row["box"][1:]]} for row in rows]
    (note,) = run(replace(full, predictions=[write(path, moved)])).notes
    assert note.startswith("warning: 32 of 32 boxes extend beyond") and note.endswith("width, height")
    for image in content["images"]:
        del image["width"], image["height"]
    truth = [full.truth[0], write(tmp_path / "instances.json", content)]
    assert run(replace(full, truth=truth, predictions=[write(path, moved)])).notes == ()


def test_nlvr2_takes_its_files_in_any_order(case: Build, tmp_path: Path) -> None:
    full = case("nlvr2")
    found = run(full)
    for truth in (full.truth[::-1], full.truth[1:] + full.truth[:1]):
        other = run(replace(full, truth=truth))
        assert dict(other.numbers) == dict(found.numbers)
    with pytest.raises(DataError, match="no file of examples among the truth"):
        run(replace(full, truth=full.truth[2:]))
    rows = [json.loads(line) for line in full.truth[1].read_text().splitlines()]
    rows[0]["identifier"] = "test1-1-0-0"
    part = tmp_path / "part.json"
    part.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"part.json \[test1-1-0-0\]: 1 example is not in dev.json"):
        run(replace(full, truth=[part, full.truth[0]]))


def test_visual7w_says_how_many_answers_are_no_box(case: Build, tmp_path: Path) -> None:
    full = case("visual7w")
    rows = json.loads(full.predictions[0].read_text())
    for row in rows[:3]:
        row["candidates"] = [{"answer": 987654321}]
    found = run(replace(full, predictions=[write(tmp_path / "strange.json", rows)]))
    assert found.notes == ("3 answers are not among their question's boxes and count as wrong",)


def test_tasks_that_cannot_be_scored(case: Build) -> None:
    full = case("vqa")
    with pytest.raises(ConfigError, match=r"unknown task 'VQA' \(did you mean \"vqa\"\?\)") as caught:
        run(replace(full, task="VQA"))
    assert "conceptual_captions" not in str(caught.value) and "visual7w" in str(caught.value)
    with pytest.raises(
        ConfigError, match=r"unknown task 'mugs' -> .*a task of your own .*measure it .*twelve evaluate RUN"
    ):
        run(replace(full, task="mugs"))
    with pytest.raises(ConfigError, match="no result format that could be scored"):
        run(replace(full, task="conceptual_captions"))
