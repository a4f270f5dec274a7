"""After pretraining, does the joint model still lead if each single-task model trains as long as it does?

    python benchmarks/as_long_as_joint.py

Two studies share worlds and pretrained models (docs/joint-vs-single-studies.md). In the first, the joint model
``pretrained-total`` makes 3.4 times as many updates as each single-task model; in the second, each single-task model
makes as many updates as that joint model, so that all of them together have four times its compute. Seeds 3 and 4 were
added after the results of seeds 0 to 2, and in seed 4, single-task VQA and SNLI-VE are not learned, so the comparison
is also printed without them.

Together, the studies have both kinds of models in short and in long training, so that the gains by the longer training
can be compared. Its p-value is also given after Holm's correction with the recorded means of both studies.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lead_after_pretraining import told
from two_studies import RESULTS, tell, with_arm

from twelve.study.finding_types import Comparison, Findings
from twelve.study.findings import findings
from twelve.study.multiple import adjusted

STUDY, LONGER = RESULTS / "study-four-tasks-pretrained", RESULTS / "study-four-tasks-pretrained-longer"
SHORT, JOINT, SINGLE, LONG = "pretrained", "pretrained-total", "single-pretrained", "single-pretrained-longer"
CONTRASTS = ((JOINT, LONG), (LONG, SINGLE), (JOINT, SHORT), (JOINT, SINGLE))
WITHOUT = ((), (3, 4), (4,))
"""Seeds that are left out, in the order in which the comparison is printed."""


def both(place: Path, without: Sequence[int] = ()) -> Findings:
    return with_arm(place, STUDY, LONGER, SINGLE, LONG, CONTRASTS, without)


def corrected(lead: Comparison) -> float:
    """The p-value of a mean over all tasks, after Holm's correction with those that both studies record."""
    recorded = {(each.contrast.name, each.p) for study in (STUDY, LONGER) for each in findings(study).comparisons}
    return adjusted([lead.p, *(p for _, p in recorded)])[0]  # one of their means is the same in both


def main() -> None:
    for without in WITHOUT:
        print("\nwithout seeds " + ", ".join(map(str, without)) if without else "all seeds")
        with tempfile.TemporaryDirectory() as place:
            found = both(Path(place), without)
        tell(found)
        lead, single, joint, _ = found.comparisons
        told("how much more the joint model gains by longer training", np.subtract(joint.seeds, single.seeds))
        if not without:
            print(f"p of {lead.contrast.name}: {lead.p:.3f}, after Holm's correction {corrected(lead):.3f}")


if __name__ == "__main__":
    main()
