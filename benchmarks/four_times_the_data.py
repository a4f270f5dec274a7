"""Does the joint model lead because of its other tasks, or because it sees more data in all?

    python benchmarks/four_times_the_data.py

Two studies share worlds and test images (docs/joint-vs-single-studies.md): in the first, every model trains on all
examples of its tasks; in the second, on a quarter of each task's. A joint model of the second study thus has about as
many examples in all as a single-task model of COCO or RefCOCO in the first, half as many as one of VQA, and 3.5 times
as many as one of SNLI-VE, with as many updates of the trunk. The second study's arm is added to a copy of the first,
so that the study's own bootstrap compares them example by example.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from twelve.study.cells import gain_of, spread
from twelve.study.findings import findings
from twelve.study.plan import FILE

RESULTS = Path(__file__).parent / "results"
ALL, QUARTER = RESULTS / "study-four-tasks-more-data", RESULTS / "study-four-tasks-quarter-data"
JOINT, SINGLE, LESS = "stop-and-go", "single-trunk", "stop-and-go-quarter"
CONTRASTS = ((LESS, SINGLE), (JOINT, SINGLE), (JOINT, LESS))


def both(place: Path) -> Path:
    """A study in ``place`` with the arms of the first study and, under a name of its own, the arm of the second one,
    and with the contrasts of this script."""
    copy = shutil.copytree(ALL, place / "study")
    record = json.loads((copy / FILE).read_text(encoding="utf-8"))
    plan = record["plan"]
    (joint,) = (arm for arm in plan["arms"] if arm["name"] == JOINT)
    plan["arms"].append({**joint, "name": LESS, "meaning": f"{joint['meaning']}, a quarter of the examples"})
    for file in sorted(QUARTER.glob(f"seed-*/results/{JOINT}/*.json")):
        result = json.loads(file.read_text(encoding="utf-8")) | {"arm": LESS}
        made = copy / file.parts[-4] / "results" / LESS / file.name
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(json.dumps(result), encoding="utf-8")
    tasks = plan["contrasts"][0]["tasks"]
    plan["contrasts"] = [{"arm": arm, "minus": minus, "tasks": tasks} for arm, minus in CONTRASTS]
    (copy / FILE).write_text(json.dumps(record), encoding="utf-8")
    return copy


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        found = findings(both(Path(place)))
    for arm, score in found.closed.items():
        tasks = ", ".join(f"{row.title} {row.scores[arm].score.mean:.1f}" for row in found.rows)
        print(f"{arm}: normalised score {score.mean:.1f} [{score.low:.1f}, {score.high:.1f}]; {tasks}")
    for each in found.comparisons:
        seeds = ", ".join(f"{seed:+.1f}" for seed in each.seeds)
        told = f"{gain_of(each.every)}, t {spread(each.seeds)} ({seeds})"
        print(f"{each.contrast.arm} minus {each.contrast.minus}: {told}")
        if each.learned is not None:
            print(f"    learned tasks: {gain_of(each.learned)}, t {spread(each.learned_seeds)}")
        for cell in each.cells:
            known = "" if cell.learned else ", not learned"
            print(f"    {cell.task}: {gain_of(cell.points)}, t {spread(cell.seeds)}{known}")
            for part in cell.parts:
                if part.kind == "wording" and part.seen:
                    print(f"        wordings of the training set: {gain_of(part.points)}, t {spread(part.seeds)}")


if __name__ == "__main__":
    main()
