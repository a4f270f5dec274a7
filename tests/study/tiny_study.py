"""A small configuration and made-up results, for tests of studies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import yaml

from twelve import config as configuration
from twelve.study import plan as plans
from twelve.study.engine import planned
from twelve.study.plan import Plan
from twelve.study.results import result_file
from twelve.study.studies import get_study

TASKS = ("vqa", "snli_ve")


def write_config(folder: Path, tasks: Sequence[str] = TASKS, **training: Any) -> Path:
    """A configuration of a study of seconds, with its data."""
    tree = tiny.tree(tiny.make(folder / "data", train=12, val=4), folder / "unused")
    tree |= {"tasks": {name: tree["tasks"][name] for name in tasks}, "sources": {}}
    if "refcoco" in tasks:
        tree["sources"] = {"refcoco": "flickr30k"}
    tree["training"] |= {"iterations": 6, "eval_every": 1, "save_every": 2, "log_every": 2} | training
    tree["evaluation"]["derangements"] = 1
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def results(out: Path) -> dict[str, dict[str, Any]]:
    """Every result without the time that it took."""
    found = {str(path.relative_to(out)): json.loads(path.read_text()) for path in out.glob("seed-*/results/*/*.json")}
    return {name: record | {"seconds": 0, "processor_seconds": 0} for name, record in found.items()}


def made_up(
    out: Path,
    scores: Mapping[str, Sequence[float]],
    *,
    study: str = "joint-vs-single",
    tasks: Sequence[str] = ("vqa", "nlvr2"),
    upper_bound: float | None = 100.0,
    seeds: int = 3,
    options: Mapping[str, Any] | None = None,
    also: Mapping[str, Any] | None = None,
) -> Plan:
    """A study's folder with results: arm -> score of each of its tasks, 0..1, with a little chance.

    Args:
        also: further fields of every result.
    """
    tree = tiny.tree(Path("root"), Path("run"))
    tree["tasks"] = {name: tree["tasks"][name] for name in tasks}
    config = configuration.parse(tree | {"sources": {}})
    given = {"factors": [1.0]} if study == "joint-vs-single" else {}
    plan = planned(get_study(study, {**given, **(options or {})}), config, seeds=seeds, arms=[*scores])
    plans.write(plan, out, {})
    rng = np.random.default_rng(0)
    for seed in plan.seeds:
        draws = {task: rng.random(400) for task in tasks}
        for name, values in scores.items():
            arm = plan.arm(name)
            for task, value in zip(arm.tasks, values, strict=True):
                record = {
                    "task": task, "title": task.upper(), "metric": "accuracy", "arm": name, "seed": seed,
                    "split": "val", "factor": 1.0, "score": 50.0, "validation": 0.5, "iterations": 7, "seconds": 60.0,
                    "parameters": 1_000_000, "batches": dict.fromkeys(arm.model_of(task), 7),
                    "groups": [str(row // 2) for row in range(400)],
                    "values": [float(drawn < value) for drawn in draws[task]],
                } | dict(also or {})  # fmt: skip
                if plan.base(task) == arm:
                    record |= {"baselines": {"chance": 20.0, "shuffled images": 40.0}, "upper_bound": upper_bound}
                path = result_file(out, seed, name, task)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(record))
    return plan
