"""Which findings of the first study of groups after pretraining the second one finds again (docs/relations.md).

For each finding, the p-value of the second study, the same after Holm's correction for all nine, and the t interval
over the seeds of both studies. (The ninth, that no group loses, has no p-value of its own.) Then the rank correlation
of the 28 gains of both studies, which bounds what a prediction can reach, and that of a rule found afterwards: whether
pointing is among the other tasks.

    python benchmarks/gains_again.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from twelve.study.bootstrap import t_interval
from twelve.study.cells import gain_of
from twelve.study.finding_types import Cell, Comparison, Findings
from twelve.study.findings import findings
from twelve.study.measures.grouping import spearman
from twelve.study.multiple import adjusted

RESULTS = Path(__file__).parent / "results"
STUDIES = ("study-four-tasks-pretrained-groups", "study-four-tasks-pretrained-groups-again")
LEFT_OUT = (("all", "answering+retrieval+verification"), ("all", "retrieval+pointing+verification"))
"""Models of all groups and without one, compared by the mean normalised score of the others."""
GAINS = (
    ("all", "verification"),
    ("all", "retrieval"),
    ("answering+pointing+verification", "answering"),
    ("answering+retrieval+pointing", "pointing"),
    ("answering+pointing+verification", "pointing"),
    ("pointing+verification", "pointing"),
)
"""Models of several groups and of one, compared by the official metric of this one."""
LOSS = ("answering+verification", "verification")
GROUPS = ("answering", "retrieval", "pointing", "verification")


def compared(found: Findings, arm: str, minus: str) -> Comparison:
    comparison = found.comparison(arm, minus)
    assert comparison is not None
    return comparison


def measured(found: Findings, arm: str, minus: str) -> Comparison | Cell:
    """The mean of a comparison on several tasks, or the only task of one."""
    comparison = compared(found, arm, minus)
    return comparison if len(comparison.cells) > 1 else comparison.cells[0]


def main() -> None:
    both = [findings(RESULTS / study) for study in STUDIES]
    second = {names: measured(both[1], *names).p for names in (*LEFT_OUT, *GAINS)}
    after = adjusted([*second.values(), 1.0])
    for names, p, corrected in zip((*second, LOSS), [*second.values(), None], after, strict=True):
        found = t_interval([seed for each in both for seed in measured(each, *names).seeds])
        told = "" if p is None else f"p {p:.3f}, corrected {corrected:.3f}; "
        print(f"{' minus '.join(names)}: {told}all seeds {gain_of(found) if found else ''} (t)")
    pairs = [each.contrast.compared for each in both[0].comparisons if each.contrast.minus in GROUPS]
    gains = [np.array([np.mean(compared(found, *pair).seeds) for pair in pairs]) for found in both]
    rule = np.array([float(minus != "pointing" and _has(arm)) for arm, minus in pairs])
    print(f"rank correlation of the {len(pairs)} gains of both studies: {spearman(*gains):.2f}")
    print(f"of the rule and the gains of each study: {', '.join(f'{spearman(rule, each):.2f}' for each in gains)}")


def _has(arm: str) -> bool:
    """Whether a model is trained on pointing."""
    return arm == "all" or "pointing" in arm.split("+")


if __name__ == "__main__":
    main()
