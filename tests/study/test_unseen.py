"""Differences on examples that are like those of training, and on the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tiny_study import made_up

from twelve.study.brief import brief
from twelve.study.findings import findings
from twelve.study.report import page
from twelve.study.results import result_file
from twelve.study.show import show
from twelve.study.unseen import told

BASE, OPPONENT = "stop-and-go", "single-longer"
NEW = 40
"""Examples of 400 in unseen wordings."""


def study(out: Path, *, new: float, old: float) -> None:
    """Both arms score 0.7 on VQA, but for the base's lead on examples in unseen and in seen wordings."""
    made_up(out, {BASE: (0.7, 0.7), OPPONENT: (0.7, 0.7)})
    rng = np.random.default_rng(1)
    for seed in (3, 4, 5):
        path = result_file(out, seed, BASE, "vqa")
        result = json.loads(path.read_text())
        values, own = np.array(result["values"]), np.arange(400) < NEW
        values[own & (rng.random(400) < new)] = 1.0
        values[~own & (rng.random(400) < old)] = 1.0
        other = {"length": ["short"] * 200 + ["long"] * 200, "one": ["seen"] * 400}
        kinds = other | {"wording": np.where(own, "unseen", "seen").tolist()}
        path.write_text(json.dumps(result | {"values": values.tolist(), "kinds": kinds}))


def test_a_lead_on_unseen_wordings_alone_is_told(tmp_path: Path) -> None:
    study(tmp_path, new=1.0, old=0.0)
    found = findings(tmp_path)
    (cell,) = [cell for cell in found.comparisons[0].cells if cell.task == "vqa"]
    unseen, seen = sorted(cell.parts, key=lambda part: part.seen)
    assert seen.kind == "wording" and (seen.share, unseen.share) == pytest.approx((90, 10)) and not seen.points.mean
    assert unseen.points.low > 0 and (seen.points.low, seen.points.high) == (0.0, 0.0)
    assert cell.points.mean == pytest.approx(0.1 * unseen.points.mean)
    (said,) = told(found)
    assert said == f"Difference mostly on unseen wordings: VQA {cell.points.mean:+.1f} (seen: 0.0 [0.0, 0.0])."
    html, shown = page.render([page.part_of(found, "key")]), show(tmp_path, console=Console(quiet=True))
    assert said in html and said in shown and said in " ".join(brief(found, "").split())
    row = next(line for line in shown.splitlines() if line.endswith("(10%) |"))
    assert row.startswith(f"| {BASE} minus {OPPONENT} | VQA | +") and "| 0.0 [0.0, 0.0] |" in row
    assert "Differences on texts like those of training" in html and "(10%)" in html


def test_a_lead_on_all_wordings_is_no_reason_to_warn(tmp_path: Path) -> None:
    study(tmp_path, new=0.6, old=0.6)
    found = findings(tmp_path)
    assert told(found) == [] and all(len(cell.parts) == 2 for cell in found.comparisons[0].cells if cell.task == "vqa")
    made_up(tmp_path / "old", {BASE: (0.8, 0.7), OPPONENT: (0.7, 0.7)})
    old = findings(tmp_path / "old")
    assert told(old) == [] and not any(cell.parts for cell in old.comparisons[0].cells)
    assert "Differences on texts" not in page.render([page.part_of(old, "key")])
