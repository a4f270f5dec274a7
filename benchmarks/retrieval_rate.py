r"""Retrieval alone on the small real sample at lower learning rates: 0.3 and 0.5 times its own, which the study of four
tasks on photographs did not search. The second is the rate at which the trunk of the joint models trained.

For the rates 1.8e-4 and 3e-4 and the seeds 1, 2 and 3 (about 20 minutes of a core each), in the folder with the regions
(make real-regions):

    twelve train configs/study-real-photographs-small.yaml --set data=DATA --set "tasks=[flickr30k]" --set seed=1 \
      --set tasks.flickr30k.learning_rate=1.8e-4 --set training.iterations=6186 --set run=runs/rate-1
    twelve evaluate runs/rate-1

Then this adds what they found to the recorded runs, beside the scores that the study recorded:

    python benchmarks/retrieval_rate.py runs/rate-1 runs/rate-2 runs/rate-3
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twelve.config import load_run
from twelve.study.findings import findings

RESULTS = Path(__file__).parent / "results"
STUDY = RESULTS / "study-real-photographs-small"
TASK = "flickr30k"


def recorded(arm: str, seed: int) -> float:
    """R@1 of 100 of an arm of the study."""
    tree = json.loads((STUDY / f"seed-{seed}" / "results" / arm / f"{TASK}.json").read_text(encoding="utf-8"))
    return round(float(tree["score"]), 2)


def leads(scores: Mapping[int, float]) -> dict[int, dict[str, float]]:
    """The joint models' lead over all tasks, points of normalised score, with these scores of single-task retrieval.

    Args:
        scores: seed -> R@1 of 100.
    """
    study = findings(STUDY)
    compared, row = study.comparison("joint", "single-longer"), study.row(TASK)
    assert compared is not None and row is not None
    per_point = 100 / (row.upper_bound - row.baseline) / len(compared.cells)
    by_seed = dict(zip(study.seeds, compared.seeds, strict=True))
    return {
        seed: {
            "study": round(by_seed[seed], 2),
            "at this rate": round(by_seed[seed] - per_point * (score - recorded("single-longer", seed)), 2),
        }
        for seed, score in scores.items()
    }


def found(run: Path) -> dict[str, Any]:
    """What a run's files say."""
    config = load_run(run)
    names = ("evaluation.json", "trained.json", "machine.json")
    evaluation, trained, machine = (json.loads((run / name).read_text(encoding="utf-8")) for name in names)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    result = evaluation["tasks"][TASK]
    return {
        "seed": config.seed,
        "learning rate": config.tasks[TASK].learning_rate,
        "updates": trained["batches"][TASK],
        "R@1 of 100": {key: round(value, 2) for key, value in result["score"].items()},
        "with shuffled images": round(result["baselines"]["shuffled images"]["score"], 2),
        "study, single-longer": recorded("single-longer", config.seed),
        "study, joint": recorded("joint", config.seed),
        "validation": [[each["iteration"], each["score"]] for each in lines if each["kind"] == "validation"],
        "machine": machine,
    }


def mean(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Means over the runs of one rate; adds to each run the lead with its score in place of the study's."""
    for run, lead in zip(runs, leads({run["seed"]: run["R@1 of 100"]["mean"] for run in runs}).values(), strict=True):
        run["lead over all tasks"] = lead
    return {
        "learning rate": runs[0]["learning rate"],
        "R@1 of 100": round(statistics.mean(run["R@1 of 100"]["mean"] for run in runs), 2),
        **{name: round(statistics.mean(run[name] for run in runs), 2) for name in runs[0] if name.startswith("study")},
        "lead over all tasks": round(statistics.mean(run["lead over all tasks"]["at this rate"] for run in runs), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="runs to add; without any, the means are computed again")
    parser.add_argument("--out", type=Path, default=RESULTS / "retrieval-rate.json")
    arguments = parser.parse_args()
    recorded_runs = json.loads(arguments.out.read_text(encoding="utf-8"))["runs"] if arguments.out.is_file() else []
    every = {(run["learning rate"], run["seed"]): run for run in (*recorded_runs, *map(found, arguments.runs))}
    runs = [every[key] for key in sorted(every)]
    means = [
        mean([run for run in runs if run["learning rate"] == rate]) for rate in sorted({rate for rate, _ in every})
    ]
    arguments.out.write_text(json.dumps({"means": means, "runs": runs}, indent=1) + "\n", encoding="utf-8")
    for run in runs:
        print(json.dumps({key: value for key, value in run.items() if key not in ("validation", "machine")}))
    print(f"means {means}; written to {arguments.out}")


if __name__ == "__main__":
    main()
