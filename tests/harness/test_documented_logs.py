"""The rows and commands of docs/score.md about other programs' logs are run as they stand there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from test_docs import blocks
from test_vlmevalkit import write
from typer.testing import CliRunner

from twelve import cli

PAGE = (Path(__file__).parents[2] / "docs" / "score.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Logs of lmms-eval and VLMEvalKit")[2].partition("\n## ")[0]
COMMANDS = {words[4]: words for line in re.findall("^    (twelve .*)", SECTION, re.M) if (words := shlex.split(line))}
ROWS = dict(zip(COMMANDS, blocks(SECTION, "json"), strict=True))


def said(harness: str) -> str:
    """What a command says of its row, in this folder."""
    words = COMMANDS[harness]
    log = Path(next(word for word in words if word.endswith((".jsonl", ".xlsx"))))
    if log.suffix == ".jsonl":
        log.write_text(ROWS[harness])
    else:
        write(log, [json.loads(ROWS[harness])])
    result = CliRunner().invoke(cli.app, words[1:])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_a_row_of_each_is_shown() -> None:
    assert list(COMMANDS) == ["lmms-eval", "vlmevalkit"] and ROWS["lmms-eval"].count("\n") == 1


def test_lmms_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (shown,) = blocks(SECTION, "text")
    assert said("lmms-eval").startswith(shown)


def test_vlmevalkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = said("vlmevalkit").splitlines()
    assert "100.00%  1 answer, protocol google" in lines[1] and "100.00%" in lines[2]
    assert lines[3] == "answers that count differently: 0"
    assert not any(line.startswith("why: ") for line in lines)
