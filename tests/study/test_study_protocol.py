"""What a page says of the protocol of a study: with it, the study can be run again."""

from __future__ import annotations

import json
import shlex
from html import unescape
from pathlib import Path

import made_findings
import pytest
import yaml

from twelve.config import parse
from twelve.study import plan as plans
from twelve.study.engine import planned
from twelve.study.report import page
from twelve.study.report.protocol import command, protocol
from twelve.study.studies import get_study

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
STUDIES = sorted(path.parent for path in RESULTS.glob("study-*/study.json"))


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_the_command_repeats_the_recorded_plan(study: Path) -> None:
    recorded = plans.read(study)
    program, group, name, *words = shlex.split(command(recorded))
    given = list(zip(words[::2], words[1::2], strict=True))
    options = {}
    for key, value in given:
        if key == "--option":
            option, _, text = value.partition("=")
            options[option] = json.loads(text)
    arms = dict(given).get("--arms", "").split(",") if "--arms" in words else []
    again = planned(get_study(name, options), recorded.parsed(), seeds=int(dict(given)["--seeds"]), arms=arms)
    assert (program, group) == ("twelve", "study")
    assert sorted(again.names) == sorted(recorded.names)  # their order is that of the study's code: only for display
    assert again.seeds == recorded.seeds and {**again.options, **recorded.options} == again.options


def test_the_page_has_the_configuration_and_the_rates_of_every_task() -> None:
    found = made_findings.joint_vs_single()
    html = unescape(page.render([page.part_of(found, "key")]))
    folded = html.partition("Protocol and machine")[2]
    shown = folded.partition("do not have their defaults</summary>\n<pre>")[2].partition("</pre>")[0]
    assert parse(yaml.safe_load(shown)) == found.plan.parsed()
    how = protocol(found)
    assert "The command of this study, with today's code: defaults may have changed since it ran." in folded
    assert how.command in folded and "--seeds 3" in how.command and how.convergence in folded
    assert len(how.tasks) == len(found.rows)
    for task, (size, rate) in how.tasks.items():
        assert f'{task}</th><td class="num">{size}</td><td class="num">{rate:g}</td>' in folded


def test_a_study_of_a_file_is_run_from_it() -> None:
    plan = made_findings.joint_vs_single().plan.model_copy(update={"study": "my-study", "options": {"often": 2}})
    assert command(plan).startswith("twelve study run study.py --config study.yaml --seeds 3 --arms ")
    named = plan.model_copy(update={"code": plans.Code(name="mine.py", sha256="0" * 64)})
    assert command(named).startswith("twelve study run mine.py --config study.yaml --seeds 3 --arms ")
    assert command(plan).endswith("--option often=2")
