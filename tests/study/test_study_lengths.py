"""How long the models of an arm train, in updates and in examples."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from tiny_study import TASKS, results, write_config

from twelve.config import load
from twelve.study.arms import Arm, Length
from twelve.study.engine import run
from twelve.study.execution import Seed
from twelve.study.plan import Plan, read
from twelve.study.studies import FROM_FILES

BATCHES = '''
"""Single-task models with small batches, compared at equal examples."""

from typing import ClassVar

from twelve.study.arms import Arm, Contrast, Length
from twelve.study.studies.base import Study, register


@register
class Batches(Study):
    name: ClassVar[str] = "batches"
    question: ClassVar[str] = "Are small batches better?"

    def arms(self, subjects):
        small = {"tasks.vqa.batch_size": 2, "tasks.snli_ve.batch_size": 1}
        length = Length(rule="each", of=("joint",), unit="examples")
        return [
            subjects.joint().model_copy(update={"overrides": {"schedule": {"name": "always-go"}}}),
            Arm(name="small", meaning="small batches", models=subjects.each, overrides=small, length=length),
        ]

    def contrasts(self, subjects):
        return [Contrast(arm="small", minus="joint", tasks=subjects.tasks)]
'''
SIZES = {"tasks.vqa.batch_size": 4, "tasks.snli_ve.batch_size": 2}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batches")
    (folder / "batches.py").write_text(BATCHES)
    out = run(
        str(folder / "batches.py"), write_config(folder), seeds=1, out=folder / "out", console=Console(quiet=True)
    )
    del FROM_FILES["batches"]
    return out


def test_an_arm_with_smaller_batches_is_trained_on_as_many_examples(study: Path) -> None:
    found = results(study)
    for task, size in zip(("vqa", "snli_ve"), (2, 1), strict=True):
        joint, small = (found[f"seed-3/results/{arm}/{task}.json"] for arm in ("joint", "small"))
        assert joint["batches"][task] == 6 and joint["steps"] == 12
        assert small["examples"] == {task: joint["examples"][task]}
        assert small["steps"] == small["iterations"] == joint["examples"][task] // size > 6
    assert "| updates | updates per model | examples | training |" in (study / "results.md").read_text()


@pytest.mark.parametrize("rule", ["joint", "each", "total"])
def test_lengths(study: Path, rule: str) -> None:
    """Of an arm with one model of both tasks, whose batches have four and two examples."""
    plan, joint = read(study), results(study)["seed-3/results/joint/vqa.json"]

    def length(unit: str, factor: float = 1.0) -> int:
        of = () if rule == "joint" else ("joint",)
        how = Length.model_validate({"rule": rule, "of": of, "unit": unit, "factor": factor})
        arm = Arm(name="other", meaning="", models=(TASKS,), overrides=SIZES, length=how)
        changed: Plan = plan.model_copy(update={"arms": (*plan.arms, arm)})
        return Seed(changed, study, 3)._length(arm, TASKS)

    assert (length("updates"), length("updates", 0.5)) == (6, 3)
    examples = sum(joint["examples"].values())
    assert examples % 6 == 0 and length("examples") == examples // 6 > 6
    assert load(study / "seed-3" / "runs" / "small" / "vqa" / "config.yaml").tasks["vqa"].batch_size == 2
