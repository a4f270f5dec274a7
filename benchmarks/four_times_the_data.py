"""Does the joint model lead because of its other tasks, or because it sees more data in all?

    python benchmarks/four_times_the_data.py

Two studies share worlds and test images (docs/joint-vs-single-studies.md): in the first, every model trains on all
examples of its tasks; in the second, on a quarter of each task's. A joint model of the second study thus has about as
many examples in all as a single-task model of COCO or RefCOCO in the first, half as many as one of VQA, and 3.5 times
as many as one of SNLI-VE, with as many updates of the trunk.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from two_studies import RESULTS, tell, with_arm

from twelve.study.finding_types import Findings

ALL, QUARTER = RESULTS / "study-four-tasks-more-data", RESULTS / "study-four-tasks-quarter-data"
JOINT, SINGLE, LESS = "stop-and-go", "single-trunk", "stop-and-go-quarter"
CONTRASTS = ((LESS, SINGLE), (JOINT, SINGLE), (JOINT, LESS))


def both(place: Path) -> Findings:
    return with_arm(place, ALL, QUARTER, JOINT, LESS, CONTRASTS)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        tell(both(Path(place)))
