"""Whether tasks gain more from each other where they share a world than where they share nothing: the negative control
of docs/relations.md.

For each task, the gain of a model of answering, retrieval and pointing over a model of the task alone, in the official
metric, of two studies; also on the test examples in wordings of the training set, and on the others. Their difference
has Welch's t interval over the seeds: the studies have the same seeds but different worlds, and their gains
vary differently.
Variance between examples is part of that between seeds, because each seed has its own images.

    python benchmarks/gains_of_two_worlds.py
"""

from __future__ import annotations

from pathlib import Path

from twelve.study.bootstrap import welch_interval
from twelve.study.cells import gain_of
from twelve.study.findings import findings

RESULTS = Path(__file__).parent / "results"
SHARED, APART = ("study-four-tasks-groups", "answering+retrieval+pointing"), ("study-apart-groups", "all")
"""(study, its arm of the three groups)."""
GROUPS = ("answering", "retrieval", "pointing")


def gains(study: str, together: str) -> dict[str, tuple[float, ...]]:
    """Task, and task with a part of its examples -> its gain in each seed."""
    found = findings(RESULTS / study)
    compared = [found.comparison(together, group) for group in GROUPS]
    cells = [cell for each in compared if each is not None for cell in each.cells]
    parts = {
        f"{cell.task}, {'seen' if part.seen else 'unseen'} wordings": part.seeds
        for cell in cells
        for part in cell.parts
        if part.kind == "wording"
    }
    return {cell.task: cell.seeds for cell in cells} | parts


def main() -> None:
    shared, apart = gains(*SHARED), gains(*APART)
    for task, seeds in shared.items():
        told = ["by seed " + ", ".join(f"{gain:+.1f}" for gain in each) for each in (seeds, apart[task])]
        print(f"{task}: shared world {told[0]}, nothing shared {told[1]}")
        print(f"  difference {gain_of(welch_interval(seeds, apart[task]))}")


if __name__ == "__main__":
    main()
