"""The balancing methods with one update per iteration, minus the plain sum of gradients (``mixed``), which makes the
same updates on the same batches. The recorded study did not plan this contrast; its results allow it.

    python benchmarks/balancing_minus_mixed.py
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from twelve.study.bootstrap import t_probability
from twelve.study.cells import gain_of, spread
from twelve.study.findings import findings
from twelve.study.plan import FILE

STUDY = Path(__file__).parent / "results" / "study-four-tasks-balancing"
METHODS, PLAIN = ("pcgrad", "cagrad", "nash-mtl", "aligned-mtl"), "mixed"


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        copy = shutil.copytree(STUDY, Path(place) / "study")
        record = json.loads((copy / FILE).read_text())
        plan = record["plan"]
        plan["contrasts"] = [{"arm": arm, "minus": PLAIN, "tasks": plan["contrasts"][0]["tasks"]} for arm in METHODS]
        (copy / FILE).write_text(json.dumps(record))
        for each in findings(copy).comparisons:
            seeds = ", ".join(f"{seed:+.1f}" for seed in each.seeds)
            p = t_probability([*each.seeds])
            print(
                f"{each.contrast.arm}: {gain_of(each.every)}; by seed {seeds}, t interval {spread(each.seeds)}, t test "
                f"p = {p:.4f}, times {len(METHODS)}: {min(1.0, len(METHODS) * p):.3f}"
            )


if __name__ == "__main__":
    main()
