"""Add to recorded studies which test examples are like those of training (evaluation/own_kinds.py).

Studies record this since 29 November 2026. For earlier ones, this generates their worlds again and adds the kinds
`wording` and `combination` to the results, if groups and all recorded kinds of the examples are those of the new world.

    python benchmarks/add_kinds.py [STUDY ...]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from twelve.evaluation.kinds import kinds_of
from twelve.evaluation.own_kinds import with_own_kinds
from twelve.formats.data_root import DataRoot
from twelve.metrics.retrieval import galleries
from twelve.microworld.make import write_apart, write_datasets
from twelve.microworld.world import WorldSizes, make_world
from twelve.study import plan as plans
from twelve.study.plan import Plan
from twelve.study.results import result_file
from twelve.tasks.base import get

RESULTS = Path(__file__).parent / "results"
ADDED = ("wording", "combination")


def world(folder: Path, plan: Plan, seed: int) -> DataRoot:
    """The datasets of a study's world, without images."""
    settings = plan.parsed().microworld
    root = folder / f"{seed}-{settings.scale:g}-{settings.apart}"
    if not root.exists():
        sizes = WorldSizes().scaled(settings.scale)
        if settings.apart:
            write_apart(seed, sizes, root)
        else:
            write_datasets(make_world(seed, sizes), root)
    return DataRoot(root)


def add(path: Path, root: DataRoot, plan: Plan) -> str:
    """Add the kinds to a result; returns what was done."""
    result = json.loads(path.read_text(encoding="utf-8"))
    task, split = get(result["task"]), result["split"]
    examples = with_own_kinds(task, root, split, task.read(root, split))
    if len(examples) > len(result["groups"]):
        rows = galleries([example.images[0] for example in examples], 1, plan.parsed().evaluation.gallery)[0]
        examples = [examples[row] for row in rows]
    recorded, now = result.get("kinds") or {}, kinds_of(examples)
    if [example.group for example in examples] != result["groups"]:
        return "other examples"
    if other := [kind for kind, values in recorded.items() if list(now.get(kind, ())) != list(values)]:
        return f"other {', '.join(other)}"
    result["kinds"] = recorded | {kind: now[kind] for kind in ADDED if kind in now}
    path.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return "added" if recorded else "added, nothing to compare but the groups"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for study in sorted(map(Path, sys.argv[1:])) or sorted(RESULTS.glob("study-*")):
            plan = plans.read(study)
            if not plan.worlds:
                continue
            for seed in plan.seeds:
                for task in plan.tasks:
                    path = result_file(study, seed, plan.base(task).name, task)
                    if path.exists():
                        print(study.name, seed, task, add(path, world(Path(folder), plan, seed), plan), flush=True)


if __name__ == "__main__":
    main()
