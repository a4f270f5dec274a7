"""A stage counts as finished only if its inputs are the same and what it wrote is there unchanged."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from twelve.reproduce.ledger import Ledger


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "model").mkdir(parents=True)
    (tmp_path / "home" / "model" / "a.bin").write_bytes(b"1")
    return tmp_path / "home"


def ledger(home: Path) -> Ledger:
    return Ledger(home / "ledger.json", home)


def record(home: Path) -> None:
    ledger(home).record("conversion", {"weights": "w1", "sizes": (1, 2)}, [home / "model"], 1.26)


def test_a_stage_is_finished_once_it_is_recorded(home: Path) -> None:
    assert not ledger(home).finished("conversion", {"weights": "w1", "sizes": (1, 2)})
    record(home)
    assert ledger(home).finished("conversion", {"weights": "w1", "sizes": (1, 2)})
    assert ledger(home).seconds("conversion") == 1.3 and ledger(home).seconds("other") is None
    assert not ledger(home).finished("conversion", {"weights": "w2", "sizes": (1, 2)})
    assert not ledger(home).finished("other", {"weights": "w1", "sizes": (1, 2)})


@pytest.mark.parametrize("change", ["missing", "other bytes", "other size"])
def test_a_changed_output_is_made_again(home: Path, change: str) -> None:
    record(home)
    file = home / "model" / "a.bin"
    if change == "missing":
        file.unlink()
    else:
        file.write_bytes(b"2" if change == "other bytes" else b"11")
    assert not ledger(home).finished("conversion", {"weights": "w1", "sizes": (1, 2)})


def test_the_same_bytes_of_another_time_are_the_same(home: Path) -> None:
    record(home)
    os.utime(home / "model" / "a.bin", (1, 1))
    assert ledger(home).finished("conversion", {"weights": "w1", "sizes": (1, 2)})


def test_the_folder_may_be_moved(home: Path, tmp_path: Path) -> None:
    record(home)
    moved = Path(shutil.move(home, tmp_path / "moved"))
    assert ledger(moved).finished("conversion", {"weights": "w1", "sizes": (1, 2)})


@pytest.mark.parametrize("content", ["", "[]", '{"stages": 1}', '{"stages": {"conversion": []}}', '{"files": []}'])
def test_a_damaged_ledger_is_empty(home: Path, content: str) -> None:
    (home / "ledger.json").write_text(content)
    assert not ledger(home).finished("conversion", {"weights": "w1", "sizes": (1, 2)})
    record(home)
    assert ledger(home).finished("conversion", {"weights": "w1", "sizes": (1, 2)})


@pytest.mark.parametrize("name", ["a\0b", ".", "model", "/dev/null", "../x"])
def test_an_output_that_is_no_file_is_not_finished(home: Path, name: str) -> None:
    stage = {"inputs": {}, "outputs": {name: "0" * 64}, "seconds": 1.0}
    (home / "ledger.json").write_text(json.dumps({"stages": {"conversion": stage}}))
    assert not ledger(home).finished("conversion", {})


@pytest.mark.parametrize("seconds", ["1e308", "-1", "NaN", "true", '"1"', "9" * 400])
def test_seconds_that_cannot_be_are_not_known(home: Path, seconds: str) -> None:
    (home / "ledger.json").write_text(f'{{"stages": {{"conversion": {{"seconds": {seconds}}}}}}}')
    assert ledger(home).seconds("conversion") is None


def test_a_stage_that_wrote_nothing_is_not_finished(home: Path) -> None:
    for outputs in ([], [home / "none.bin"]):
        ledger(home).record("conversion", {}, outputs, 0.0)
        assert not ledger(home).finished("conversion", {})
