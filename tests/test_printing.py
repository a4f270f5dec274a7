"""Commands whose reader goes away: those with results elsewhere finish, those that only print end with 141."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import yaml

COMMAND = [sys.executable, "-m", "twelve"]


def unread(*words: str, both: bool = True, buffered: bool = True) -> int:
    """The exit code of a command that writes to a pipe that nobody reads.

    Args:
        both: standard error leads there too.
        buffered: Python collects the output before it writes it.
    """
    reading, writing = os.pipe()
    os.close(reading)
    try:
        told = writing if both else subprocess.DEVNULL
        environment = os.environ | ({} if buffered else {"PYTHONUNBUFFERED": "1"})
        return subprocess.run([*COMMAND, *words], check=False, stdout=writing, stderr=told, env=environment).returncode
    finally:
        os.close(writing)


@pytest.mark.parametrize("buffered", [True, False])
def test_training_and_evaluation_finish_without_a_reader(tmp_path: Path, buffered: bool) -> None:
    root = tiny.make(tmp_path / "data", train=12, val=4)
    tree = tiny.tree(root, tmp_path / "run")
    tree |= {"tasks": {"vqa": tree["tasks"]["vqa"]}, "training": tree["training"] | {"iterations": 2}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    assert unread("train", str(tmp_path / "run.yaml"), buffered=buffered) == 0
    assert (tmp_path / "run" / "model" / "config.json").is_file() and (tmp_path / "run" / "trained.json").is_file()
    assert unread("evaluate", str(tmp_path / "run"), buffered=buffered) == 0
    assert (tmp_path / "run" / "evaluation.json").is_file()
    assert unread("train", "nowhere.yaml", buffered=buffered) == 2  # errors keep their codes


@pytest.mark.parametrize("words", [["configs"], ["tasks"], ["--help"], ["train", "--help"], ["study", "list"]])
@pytest.mark.parametrize("both", [True, False])
def test_a_command_that_only_prints_ends_with_141(words: list[str], both: bool) -> None:
    assert unread(*words, both=both) == 141


def test_a_helper_goes_on_without_a_reader() -> None:
    code = """
import os, sys
from twelve.forked import HelperLost, each
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 2)
def work(name):
    print("told", file=sys.stderr, flush=True)
    return len(name)
assert each(work, ["one", "three"], 2, HelperLost("lost")) == {"one": 3, "three": 5}
"""
    subprocess.run([sys.executable, "-c", code], check=True)
