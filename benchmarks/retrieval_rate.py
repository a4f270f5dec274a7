r"""Retrieval alone, trained in another way than in a study, instead of the study's single-task models.

On the small real sample, at lower learning rates: 0.3 and 0.5 times its own, which the study of four tasks on
photographs did not search. The second is the rate at which the trunk of the joint models trained. For the rates 1.8e-4
and 3e-4 and the seeds 1, 2 and 3 (about 20 minutes of a core each), in the folder with the regions (make real-regions):

    twelve train configs/study-real-photographs-small.yaml --set data=DATA --set "tasks=[flickr30k]" --set seed=1 \
      --set tasks.flickr30k.learning_rate=1.8e-4 --set training.iterations=6186 --set run=runs/rate-1
    twelve evaluate runs/rate-1

Then this adds what they found to the recorded runs, beside the scores that the study recorded:

    python benchmarks/retrieval_rate.py runs/rate-1 runs/rate-2 runs/rate-3

On the worlds of the study of six tasks, with ten times the updates of the joint model (about 30 minutes of a core each;
the seeds 1, 2 and 3; the study searched its rates on seed 0, and chose these):

    twelve data make-microworld --seed 1 --out runs/longer-data
    twelve regions extract --images runs/longer-data/images/flickr30k --boxes detect --backbone microworld \
      --out runs/longer-data/regions
    twelve train configs/study-six-tasks.yaml --set data=runs/longer-data --set regions=runs/longer-data/regions \
      --set "tasks=[flickr30k]" --set seed=1 --set tasks.flickr30k.learning_rate=6e-5 \
      --set optimizer.head_learning_rate=1.8e-4 --set training.iterations=9675 --set run=runs/longer-1
    twelve evaluate runs/longer-1
    python benchmarks/retrieval_rate.py runs/longer-1 --study study-six-tasks-joint-vs-single --joint stop-and-go \
      --out benchmarks/results/retrieval-longer.json
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
TASK = "flickr30k"
SINGLE = "single-longer"


def recorded(study: Path, arm: str, seed: int) -> float:
    """R@1 of 100 of an arm of the study."""
    tree = json.loads((study / f"seed-{seed}" / "results" / arm / f"{TASK}.json").read_text(encoding="utf-8"))
    return round(float(tree["score"]), 2)


def leads(place: Path, joint: str, scores: Mapping[int, float]) -> dict[int, dict[str, float]]:
    """The joint models' lead over all tasks, points of normalised score, with these scores of single-task retrieval.

    Args:
        place: the study.
        joint: its arm of joint models.
        scores: seed -> R@1 of 100.
    """
    study = findings(place)
    compared, row = study.comparison(joint, SINGLE), study.row(TASK)
    assert compared is not None and row is not None
    per_point = 100 / (row.upper_bound - row.baseline) / len(compared.cells)
    by_seed = dict(zip(study.seeds, compared.seeds, strict=True))
    return {
        seed: {
            "study": round(by_seed[seed], 2),
            "at this rate": round(by_seed[seed] - per_point * (score - recorded(place, SINGLE, seed)), 2),
        }
        for seed, score in scores.items()
    }


def found(study: Path, joint: str, run: Path) -> dict[str, Any]:
    """What a run's files say, beside the study."""
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
        "study, single-longer": recorded(study, SINGLE, config.seed),
        "study, joint": recorded(study, joint, config.seed),
        "validation": [[each["iteration"], each["score"]] for each in lines if each["kind"] == "validation"],
        "machine": machine,
    }


def mean(study: Path, joint: str, runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Means over the runs of one rate; adds to each run the lead with its score instead of the study's."""
    scores = {run["seed"]: run["R@1 of 100"]["mean"] for run in runs}
    for run, lead in zip(runs, leads(study, joint, scores).values(), strict=True):
        run["lead over all tasks"] = lead
    return {
        "learning rate": runs[0]["learning rate"],
        "R@1 of 100": round(statistics.mean(run["R@1 of 100"]["mean"] for run in runs), 2),
        **{name: round(statistics.mean(run[name] for run in runs), 2) for name in runs[0] if name.startswith("study")},
        "lead over all tasks": round(statistics.mean(run["lead over all tasks"]["at this rate"] for run in runs), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="runs to add; without any, the recorded ones are printed")
    parser.add_argument("--study", default="study-real-photographs-small", help="a folder of benchmarks/results")
    parser.add_argument("--joint", default="joint", help="its arm of joint models")
    parser.add_argument("--out", type=Path, default=RESULTS / "retrieval-rate.json")
    arguments = parser.parse_args()
    recorded_runs = json.loads(arguments.out.read_text(encoding="utf-8"))["runs"] if arguments.out.is_file() else []
    study, joint = RESULTS / arguments.study, arguments.joint
    new = [found(study, joint, run) for run in arguments.runs]
    every = {(run["learning rate"], run["seed"]): run for run in (*recorded_runs, *new)}
    runs = [every[key] for key in sorted(every)]
    means = [
        mean(study, joint, [run for run in runs if run["learning rate"] == rate])
        for rate in sorted({rate for rate, _ in every})
    ]
    if new:
        arguments.out.write_text(json.dumps({"means": means, "runs": runs}, indent=1) + "\n", encoding="utf-8")
    for run in runs:
        print(json.dumps({key: value for key, value in run.items() if key not in ("validation", "machine")}))
    print(f"means {means}; {'written to' if new else 'as in'} {arguments.out}")


if __name__ == "__main__":
    main()
