from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from twelve import progress
from twelve.data.stats import root_stats, split_stats, write_vocabulary
from twelve.errors import MissingData
from twelve.types.examples import Example


def test_numbers_of_a_split() -> None:
    examples = [
        Example("0", "is it red", ("x/1", "x/2"), True),
        Example("1", "it is", ("x/1", "x/3"), True),
        Example("2", "what a long sentence this is", ("x/1", "x/2"), False, candidates=((0.0, 0.0, 1.0, 1.0),) * 3),
    ]
    found = split_stats("t", "dev", examples)
    assert (found.examples, found.images, found.answers, found.candidates) == (3, 3, 2, 1.0)
    assert found.words == (2, 3.0, pytest.approx(11 / 3), 6)
    assert found.frequent == {"True": pytest.approx(2 / 3), "False": pytest.approx(1 / 3)}
    assert "2-6 words (median 3, mean 3.7)" in str(found)


@pytest.fixture
def root(goldens: Path, tmp_path: Path) -> Path:
    shutil.copytree(goldens / "metrics" / "vqa_softscore", tmp_path / "root" / "vqa")
    return tmp_path / "root"


def test_vocabulary_file_and_soft_targets_equal_the_original_tool(root: Path, tmp_path: Path) -> None:
    expected = json.loads((root / "vqa" / "expected.json").read_text())["expected"]
    out = tmp_path / "answers.json"
    covered = write_vocabulary(root, "vqa", out, min_count=9, splits=["train", "val"])
    assert sorted(json.loads(out.read_text())) == expected["answers_kept_sorted"]
    rows = expected["train_targets"] + expected["val_targets"]
    best = sum(max(row["scores"].values(), default=0) for row in rows)
    assert covered.highest_score == pytest.approx(best / len(rows))


def test_stats_of_a_root(root: Path) -> None:
    found = root_stats(root)
    assert [(split.task, split.split) for split in found] == [("vqa", "train"), ("vqa", "val")]
    (root / "vqa" / "v2_mscoco_train2014_annotations.json").unlink()
    assert [split.split for split in root_stats(root)] == ["val"]
    with pytest.raises(MissingData):
        root_stats(root, ["vqa"])


def test_reading_shows_how_far_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    monkeypatch.setattr(progress, "FIRST_AFTER", 0.0)
    monkeypatch.setattr("twelve.data.examples.reading._MEGABYTE", 1.0)
    root_stats(root, ["vqa"])
    total = sum(path.stat().st_size for path in (root / "vqa").glob("v2_*"))
    shown = capsys.readouterr().err
    assert f"reading official files {total}/{total}" in shown and "left, VQA v2 val" in shown
