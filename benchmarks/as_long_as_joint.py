"""After pretraining, does the joint model still lead if each single-task model trains as long as it does?

    python benchmarks/as_long_as_joint.py

Two studies share worlds and pretrained models (docs/joint-vs-single-studies.md). In the first, the joint model
``pretrained-total`` makes 3.4 times as many updates as each single-task model; in the second, each single-task model
makes as many updates as that joint model, so that all of them together have four times its compute. Seeds 3 and 4 were
added after the results of seeds 0 to 2, and in seed 4, single-task VQA and SNLI-VE are not learned, so the comparison
is also printed without them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from two_studies import RESULTS, tell, with_arm

from twelve.study.finding_types import Findings

STUDY, LONGER = RESULTS / "study-four-tasks-pretrained", RESULTS / "study-four-tasks-pretrained-longer"
JOINT, SINGLE, LONG = "pretrained-total", "single-pretrained", "single-pretrained-longer"
CONTRASTS = ((JOINT, LONG), (LONG, SINGLE), (JOINT, SINGLE))
WITHOUT = ((), (3, 4), (4,))
"""Seeds that are left out, in the order in which the comparison is printed."""


def both(place: Path, without: Sequence[int] = ()) -> Findings:
    return with_arm(place, STUDY, LONGER, SINGLE, LONG, CONTRASTS, without)


def main() -> None:
    for without in WITHOUT:
        print("\nwithout seeds " + ", ".join(map(str, without)) if without else "all seeds")
        with tempfile.TemporaryDirectory() as place:
            tell(both(Path(place), without))


if __name__ == "__main__":
    main()
