"""How much of a joint model's lead over a model for each task is left after pretraining (docs/relations.md).

The lead is the mean over four tasks of the joint model's normalised score minus that of the task's own model, in
points. Two studies have it, which differ in pretraining only: in the same seed, they have the same worlds, test images
and order of examples, so the t interval of the difference is over the seeds' differences.

    python benchmarks/lead_after_pretraining.py
"""

from __future__ import annotations

from pathlib import Path

from twelve.study.bootstrap import t_interval
from twelve.study.cells import gain_of
from twelve.study.findings import findings

RESULTS = Path(__file__).parent / "results"
STUDIES = {"random weights": "study-four-tasks-one-rate-groups", "pretrained": "study-four-tasks-pretrained-groups"}
GROUPS = ("answering", "retrieval", "pointing", "verification")


def leads(study: str) -> list[float]:
    """The lead in each seed, a mean over the groups, each of one task."""
    found = findings(RESULTS / study)
    compared = [found.comparison("all", group) for group in GROUPS]
    return [sum(gains) / len(gains) for gains in zip(*(each.seeds for each in compared if each), strict=True)]


def told(name: str, seeds: list[float]) -> None:
    spread = t_interval(seeds)
    assert spread is not None
    print(f"{name}: {gain_of(spread)} (t), by seed " + ", ".join(f"{value:+.1f}" for value in seeds))


def main() -> None:
    both = {name: leads(study) for name, study in STUDIES.items()}
    for name, seeds in both.items():
        told(name, seeds)
    one, other = both.values()
    told("random weights minus pretrained", [first - second for first, second in zip(one, other, strict=True)])


if __name__ == "__main__":
    main()
