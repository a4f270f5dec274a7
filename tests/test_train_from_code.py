"""docs/train-from-code.md, and the notebook made from it, from their first line to their last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import notebook
import pytest

import twelve
from twelve.model.trunk import TRUNKS
from twelve.outputs.base import OUTPUTS
from twelve.tasks import base


def test_the_notebook_is_the_page() -> None:
    wanted = notebook.notebook(notebook.PAGE.read_text(encoding="utf-8"))
    assert notebook.NOTEBOOK.read_text(encoding="utf-8") == wanted, "run: python tests/notebook.py"


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(TRUNKS, "gated", None)  # so that it is taken out again
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    for kind in ("one-answer", "pooled-answer"):
        monkeypatch.setitem(OUTPUTS, kind, None)
        monkeypatch.delitem(OUTPUTS, kind)
    known: dict[str, Any] = {}
    cells = notebook.cells(notebook.NOTEBOOK.read_text(encoding="utf-8"))
    assert len(cells) >= 8
    for number, cell in enumerate(cells):
        exec(compile(cell, f"cell {number}", "exec"), known)  # our own page
    losses = known["losses"]
    assert sum(losses[-5:]) < 0.85 * 5 * losses[0]
    text = notebook.PAGE.read_text(encoding="utf-8")
    assert "first delete the two folders that it makes, `small-world` and `runs`" in text
    assert {path.name for path in tmp_path.iterdir()} == {"small-world", "runs"}
    runs = {path.name for path in (tmp_path / "runs").iterdir()}
    assert runs == {"by-trainer", "focal", "gated", "own-head", "pooled"}
    assert twelve.load("runs/gated").model.config.trunk == "gated"
    assert twelve.load("runs/own-head").methods == {"answer": ["one-answer-vqa"]}
    assert twelve.load("runs/pooled").methods == {"answer": ["pooled-vqa"]}
    said = capsys.readouterr().out
    assert "validation accuracy" in said and "VQA v2, one answer, accuracy" in said
