"""Both trunks on the drawn world: equal parameters, equal minutes, all twelve tasks, three seeds.

    python benchmarks/trunks.py --folder runs/trunks

Every run is ``twelve quickstart`` with its configuration, one thread, and a world of its seed, which both trunks share.
The single-stream trunk runs every pair of text and image through all its layers, so an iteration takes it about twice
as long: it makes fewer of them in the same minutes. Runs that are finished are kept; together they take about an hour
and a half of one core. Written as JSON: score, best baseline and its lead with the 95 % interval for each task and run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

from twelve.evaluation.results import read_results
from twelve.quickstart import quickstart
from twelve.training.provenance import machine

SINGLE = {"trunk": "single_stream", "hidden_size": 168, "num_hidden_layers": 5, "intermediate_size": 358}
TRUNKS: dict[str, dict[str, Any]] = {
    "two_stream": {"training.iterations": 640},
    "single_stream": {f"model.architecture.{key}": value for key, value in (SINGLE | {"bi_hidden_size": 168}).items()}
    | {"training.iterations": 400},
}
"""Trunk -> what differs from quickstart.yaml; parameters are equal within 0.1 %, minutes within 5 %."""


def run(folder: Path, trunk: str, seed: int) -> Path:
    """Train and evaluate, unless that has been done, and return the file of results."""
    settings = {
        "run": folder / f"{trunk}-{seed}",
        "data": folder / f"data-{seed}",
        "regions": folder / f"regions-{seed}",
        "seed": seed,
        "training.threads": 1,
        **TRUNKS[trunk],
    }
    report = quickstart(settings=[f"{key}={value}" for key, value in settings.items()])
    return report.parent / "evaluation.json"


def summary(file: Path) -> dict[str, Any]:
    """What a run's results say about each task."""
    results, facts = read_results(file)
    tasks = {}
    for result in results:
        best = min(result.baselines.values(), key=lambda baseline: baseline.advantage.low)
        lead = best.advantage
        tasks[result.task] = {
            "metric": result.metric,
            "score": round(result.score.mean, 1),
            "interval": [round(result.score.low, 1), round(result.score.high, 1)],
            "baseline": f"{best.name} {best.score:.1f}",
            "lead": [round(value, 1) for value in (lead.mean, lead.low, lead.high)],
            "closed": None if result.normalised is None else round(result.normalised, 1),
        }
    return {
        "parameters": facts["parameters"],
        "training minutes": round(facts["training_seconds"] / 60, 1),
        "mean closed": round(statistics.fmean(task["closed"] for task in tasks.values()), 1),
        "not above every baseline": [name for name, task in tasks.items() if task["lead"][1] <= 0],
        "tasks": tasks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/trunks"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "trunks.json")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found: dict[str, dict[str, Any]] = {trunk: {} for trunk in TRUNKS}
    for seed in range(arguments.seeds):
        for trunk, runs in found.items():
            runs[str(seed)] = summary(run(arguments.folder, trunk, seed))
    for trunk, runs in found.items():
        print(f"\n{trunk}: normalised score: 0 at the best baseline, 100 at the upper bound")
        for task in next(iter(runs.values()))["tasks"]:
            rows = [row["tasks"][task] for row in runs.values()]
            leads = "  ".join(f"{row['score']:5.1f} (+{row['lead'][0]:.1f} [{row['lead'][1]:+.1f}])" for row in rows)
            print(f"  {task:10} {leads}  normalised {statistics.fmean(row['closed'] for row in rows):5.1f}")
        print(f"  mean normalised score {[row['mean closed'] for row in runs.values()]}")
    arguments.out.write_text(json.dumps({"machine": machine(), "trunks": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
