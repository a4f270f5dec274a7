"""After pretraining, does the joint model still lead if each single-task model trains as long as it does?

    python benchmarks/as_long_as_joint.py

Two studies share worlds and pretrained models (docs/joint-vs-single-studies.md). In the first, the joint model
``pretrained-total`` makes 3.4 times as many updates as each single-task model; in the second, each single-task model
makes as many updates as that joint model, so that all of them together have four times its compute.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from two_studies import RESULTS, tell, with_arm

from twelve.study.finding_types import Findings

STUDY, LONGER = RESULTS / "study-four-tasks-pretrained", RESULTS / "study-four-tasks-pretrained-longer"
JOINT, SINGLE, LONG = "pretrained-total", "single-pretrained", "single-pretrained-longer"
CONTRASTS = ((JOINT, LONG), (LONG, SINGLE), (JOINT, SINGLE))


def both(place: Path) -> Findings:
    return with_arm(place, STUDY, LONGER, SINGLE, LONG, CONTRASTS)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        tell(both(Path(place)))
