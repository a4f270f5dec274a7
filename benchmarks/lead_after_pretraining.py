"""How much of a joint model's lead over a model for each task is left after pretraining (docs/joint-vs-single.md).

The lead is the mean over four tasks of the joint model's normalised score minus that of the task's own model, in
points. Two studies have it, which differ in pretraining only: in the same seed, they have the same worlds, test images
and order of examples, so the t intervals of differences between the studies are over the seeds' differences.

    python benchmarks/lead_after_pretraining.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from twelve.study.bootstrap import Array, t_interval
from twelve.study.cells import gain_of
from twelve.study.findings import findings

RESULTS = Path(__file__).parent / "results"
STUDIES = ("study-four-tasks-one-rate-groups", "study-four-tasks-pretrained-groups")
"""From random weights, and after pretraining."""
GROUPS = ("answering", "retrieval", "pointing", "verification")


def scores(study: str) -> tuple[Array, Array]:
    """(S,) normalised scores of the joint model and (S,) those of the single-task models, means over the four tasks."""
    found = findings(RESULTS / study)
    compared = [found.comparison("all", group) for group in GROUPS]
    joint = np.array(found.closed_seeds["all"])
    return joint, joint - np.mean([each.seeds for each in compared if each], axis=0)


def told(name: str, seeds: Array) -> None:
    spread = t_interval(seeds.tolist())
    assert spread is not None
    print(f"{name}: {gain_of(spread)} (t), by seed " + ", ".join(f"{value:+.1f}" for value in seeds))


def main() -> None:
    (joint, single), (joint_after, single_after) = (scores(study) for study in STUDIES)
    told("lead, random weights", joint - single)
    told("lead, pretrained", joint_after - single_after)
    told("how much of the lead is lost", (joint - single) - (joint_after - single_after))
    told("what the single-task models gain by pretraining", single_after - single)
    told("what the joint model gains by pretraining", joint_after - joint)


if __name__ == "__main__":
    main()
