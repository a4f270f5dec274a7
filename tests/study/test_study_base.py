"""A study whose arms begin with a trained model says what that model knows: "single" is then not "trained alone"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny_study import TASKS, made_up, write_config
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.errors import ConfigError
from twelve.study import plan as plans
from twelve.study.base_model import known_tasks, told
from twelve.study.brief import brief
from twelve.study.engine import planned
from twelve.study.findings import findings
from twelve.study.plan import Plan
from twelve.study.report import page
from twelve.study.show import show
from twelve.study.studies import get_study
from twelve.study.studies.joint_vs_single import BASE, OPPONENT

HOME = Path(__file__).parents[2]
MODEL = HOME / "examples" / "quickstart-model"
ALONE = "a single-task model here is not one that was trained alone."
WEIGHTS = "All seeds begin with its weights, so the spread between seeds is understated."


def plan(folder: Path, **changes: Any) -> Plan:
    config = configuration.load(write_config(folder), [f"model={{init: {MODEL}}}"])
    begun = planned(get_study("joint-vs-single", {}), config, seeds=3)
    return begun.model_copy(update=changes)


def test_what_the_base_model_knows_is_said_at_plan(tmp_path: Path) -> None:
    begun = plan(tmp_path)
    assert begun.known is not None and begun.known[:2] == TASKS and len(begun.known) == 12
    base = "All arms begin with examples/quickstart-model"
    assert told(begun) == f"{base}, which was already trained on vqa, snli_ve and 10 more tasks: {ALONE} {WEIGHTS}"
    one = plan(tmp_path, known=("vqa",), seeds=(3,))
    assert told(one) == f"{base}, which was already trained on vqa."
    assert str(told(plan(tmp_path, known=("gqa",)))).startswith(f"{base}, which was trained on none of these tasks")
    assert str(told(plan(tmp_path, known=None))).startswith(f"{base}; which tasks it was trained on was not recorded.")
    given = ["--config", str(tmp_path / "config.yaml"), "--set", f"model={{init: {MODEL}}}"]
    result = CliRunner().invoke(cli.app, ["study", "joint-vs-single", *given, "--dry-run"], catch_exceptions=False)
    assert ALONE in " ".join(result.output.split())
    assert "extension" not in result.output
    longer = [*given, "--option", "extend=2", "--dry-run"]
    result = CliRunner().invoke(cli.app, ["study", "joint-vs-single", *longer], catch_exceptions=False)
    assert "runs (at most 2 extensions each) and 1 of learning rates" in " ".join(result.output.split())
    assert ", without extensions" in " ".join(result.output.split())
    config = configuration.load(tmp_path / "config.yaml", ["model={init: gone}"])
    with pytest.raises(ConfigError, match="no such folder"):
        known_tasks(config)


def test_it_is_said_wherever_the_findings_are(tmp_path: Path) -> None:
    made_up(tmp_path, {BASE: (0.7, 0.7), OPPONENT: (0.6, 0.6)})
    assert "All arms begin with" not in show(tmp_path, console=Console(quiet=True))
    tree = json.loads((tmp_path / plans.FILE).read_text())
    assert tree["plan"]["known"] is None
    tree["plan"]["config"]["model"]["init"] = str(MODEL)
    tree["plan"]["known"] = ["vqa", "gqa"]
    (tmp_path / plans.FILE).write_text(json.dumps(tree))
    found = findings(tmp_path)
    words = f"quickstart-model, which was already trained on vqa and 1 more task: {ALONE}"
    html = page.render([page.part_of(found, "key")])
    for said in (show(tmp_path, console=Console(quiet=True)), " ".join(brief(found, "").split()), html):
        assert said.index(words) < said.index(page.apart(found.sentences[0])[0]) and WEIGHTS in said


def test_a_resumed_study_keeps_what_was_recorded(tmp_path: Path) -> None:
    now, begun = plan(tmp_path), plan(tmp_path, known=("vqa",))
    assert plans.agree(now, begun, tmp_path).known == ("vqa",)
