"""From nothing to the table, on a stand-in of the published files; every number is compared with separate commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from download_server import DownloadServer
from published_files import FEATURES, TASKS, StandIn
from reproduce_command import Command
from typer.testing import CliRunner

from twelve import cli
from twelve.published import find
from twelve.reproduce.table import Table, TableRow
from twelve.tasks.base import get


def shell(*words: object) -> str:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout


def by_hand(stand_in: StandIn, folder: Path) -> Path:
    """The same model and the same regions, by separate commands from the unpacked official files."""
    released = stand_in.served / "released"
    answers = folder / "answers"
    shell_unpack(released / "datasets.tar.gz", answers)
    shell(
        *("convert", released / "multi_task_model.bin", folder / "model"),
        *("--config", released / "bert_base_6layer_6conect.json", "--tokenizer", released / "vocab.txt"),
        *("--labels", f"answer={answers}/datasets/VQA/cache/trainval_label2ans.pkl"),
        *("--labels", f"answer_gqa={answers}/datasets/gqa/cache/trainval_label2ans.pkl"),
    )
    for begin, (source, _) in FEATURES.items():
        name = begin.rpartition("/")[2]
        origin = released / f"{name}_resnext152_faster_rcnn_genome.lmdb.data.mdb"
        given = ["--given"] if name.endswith("_gt") else []
        words = ("--name", name, "--source", source, "--detector", "x152", "--out", folder / "regions", *given)
        shell("regions", "import", origin, "--format", "lmdb", *words)
    return folder


def shell_unpack(archive: Path, folder: Path) -> None:
    import tarfile

    with tarfile.open(archive) as members:
        members.extractall(folder, filter="data")


def measured_by_hand(stand_in: StandIn, folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    found = json.loads(
        shell(
            *("evaluate", folder / "model", "--task", row["task"], "--split", row["split"]),
            *("--protocol", f"{row['task']}={row['protocol']}", "--no-baselines", "--json"),
            *("--set", f"data={stand_in.world}", "--set", f"regions={folder / 'regions'}"),
            *("--set", "evaluation.precision=fp32"),
        )
    )
    return dict(found[0])


def test_from_nothing_to_the_table(
    command: Command, stand_in: StandIn, server: DownloadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = command()
    assert command.code == 0
    for words in ("terms: for tests", "disk: ", "time, roughly:", "G/s", "COCO_trainval", "hash known"):
        assert words in shown, words
    assert not any("COCO_test" in path or "train.json" in path for _, path, _ in server.requests), "not needed"
    tree = json.loads((command.root / "reproduced" / "table.json").read_text())
    assert {row["task"] for row in tree["rows"]} == set(TASKS) and not tree["failures"]
    assert str(command.table) in shown

    hand = by_hand(stand_in, tmp_path / "hand")
    for row in tree["rows"]:
        result = measured_by_hand(stand_in, hand, row)
        assert (row["score"], row["low"], row["high"]) == pytest.approx(
            tuple(result["score"][name] for name in ("mean", "low", "high")), abs=1e-4
        ), row["task"]
        assert (row["metric"], row["examples"]) == (result["metric"], result["examples"])
    for task in TASKS:
        joint, *others = [row for row in tree["rows"] if row["task"] == task]
        number = find("main", "all tasks, clean", task)
        assert number is not None and (joint["published"], joint["grade"]) == (number.value, number.grade)
        assert joint["difference"] == joint["score"] - number.value
        assert all(other["verdict"].startswith("not comparable: ") for other in others)

    numbers, asked = command.table, len(server.requests)
    for what in ("twelve.reproduce.conversion.convert", "twelve.reproduce.features.import_regions"):
        monkeypatch.setattr(what, None)
    monkeypatch.setattr("twelve.runs.evaluate.evaluate_run", None)
    command()
    assert command.table == numbers and len(server.requests) == asked, "nothing is done twice"


def test_cells_say_what_differs(command: Command) -> None:
    command(tasks="vqa,nlvr2,refcocog,flickr30k")
    (vqa, *_), (nlvr2, tuned), (refcocog, *_), flickr = (
        [line for line in command.table.splitlines() if line.startswith(f"| {get(task).title} |")]
        for task in ("vqa", "nlvr2", "refcocog", "flickr30k")
    )
    assert "| 72.57 (12-in-1, all tasks, clean) | recalled |" in vqa
    assert 'not comparable: split "val"' in vqa and "test-dev" in vqa
    assert "not comparable: 16 of 6,967 examples" in nlvr2
    assert "another model" in tuned and "another model" not in nlvr2
    assert "not comparable: 7 of 2,600 images" in refcocog and "protocol" not in refcocog.rpartition("|")[2]
    assert "R@1 of 6" in flickr[0].rpartition("not comparable: ")[2]
    assert all("; 30 examples" in line and ", 1k;" not in line for line in flickr)
    rows = json.loads((command.root / "reproduced" / "table.json").read_text())["rows"]
    assert all(row["gallery"] in (None, 6) for row in rows)
    assert any("52.84 (12-in-1, the released model" in line and "issue 78" in line for line in flickr)


def row(**changes: Any) -> TableRow:
    numbers = {"score": 60.0, "low": 58.0, "high": 62.0, "published": 61.5, "grade": "R", "model": "12-in-1"}
    words = {"task": "nlvr2", "title": "NLVR2", "split": "test1", "protocol": "official", "metric": "accuracy"}
    return TableRow(**{"examples": 6967, **numbers, **words, **changes})


def test_what_may_be_concluded() -> None:
    assert row().verdict == "the published number lies within the interval"
    assert row(published=62.1).verdict == "the published number lies outside the interval"
    assert row(published=62.1, unchecked="size of the split unchecked").verdict.endswith(
        "interval; size of the split unchecked"
    )
    assert row(published=None).verdict == "not published"
    assert "test, R@1 of 6, a gallery of all 6 images; 6,967 examples" in str(
        Table([row(split="test", metric="R@1 of 6", protocol="1k", gallery=6)], {})
    )
    table = str(
        Table([row(differs=("split dev instead of test1",))], {"gqa": "a.json: no such file -> put | it there"})
    )
    assert "| 61.5 (12-in-1) | recalled | -1.5 | not comparable: split dev instead of test1 |" in table
    assert "| GQA | | not measured | | | | a.json: no such file -> put \\| it there |" in table


def test_nobody_is_asked_in_a_script(command: Command) -> None:
    result = CliRunner().invoke(cli.app, command.words(tasks="nlvr2"))
    assert "add --yes" in str(result.exception) and not (command.root / "nlvr2").exists()
    assert "nlvr2, test1" in result.stdout, "the plan is shown first"


def test_a_task_of_another_paper_is_refused(command: Command) -> None:
    with pytest.raises(Exception, match="foil is none of the paper's tasks"):
        command(tasks="foil")
