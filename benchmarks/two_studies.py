"""Arms of two studies that share worlds and test images, compared with each other example by example."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from twelve.study.cells import gain_of, spread
from twelve.study.finding_types import Findings
from twelve.study.findings import findings
from twelve.study.plan import FILE

RESULTS = Path(__file__).parent / "results"


def with_arm(
    place: Path,
    study: Path,
    other: Path,
    arm: str,
    name: str,
    contrasts: Sequence[tuple[str, str]],
    without: Sequence[int] = (),
) -> Findings:
    """What ``study`` finds with one more arm, ``arm`` of the study ``other``, called ``name``, in the seeds that both
    have, leaving out the seeds ``without``, by the study's own bootstrap, for these contrasts (arm, minus). Writes a
    copy of the study to ``place``."""
    copy = shutil.copytree(study, place / "study")
    record = json.loads((copy / FILE).read_text(encoding="utf-8"))
    plan = record["plan"]
    (added,) = (each for each in json.loads((other / FILE).read_text("utf-8"))["plan"]["arms"] if each["name"] == arm)
    plan["arms"].append({**added, "name": name})
    shared = [seed for seed in plan["seeds"] if (other / f"seed-{seed}" / "results" / arm).is_dir()]
    plan["seeds"] = [seed for seed in shared if seed not in without]
    for seed in plan["seeds"]:
        made = copy / f"seed-{seed}" / "results" / name
        made.mkdir(parents=True)
        for file in sorted((other / f"seed-{seed}" / "results" / arm).glob("*.json")):
            result = json.loads(file.read_text(encoding="utf-8")) | {"arm": name}
            (made / file.name).write_text(json.dumps(result), encoding="utf-8")
    tasks = plan["contrasts"][0]["tasks"]
    plan["contrasts"] = [{"arm": arm, "minus": minus, "tasks": tasks} for arm, minus in contrasts]
    (copy / FILE).write_text(json.dumps(record), encoding="utf-8")
    return findings(copy)


def tell(found: Findings) -> None:
    """Print each arm's score, and each contrast with its tasks and, where they differ, the seen wordings."""
    for arm, score in found.closed.items():
        tasks = ", ".join(f"{row.title} {row.scores[arm].score.mean:.1f}" for row in found.rows if arm in row.scores)
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
