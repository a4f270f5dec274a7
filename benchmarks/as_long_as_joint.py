"""After pretraining, does the joint model still lead if each single-task model trains as long as it does?

    python benchmarks/as_long_as_joint.py [RUN ...]

Two studies share worlds and pretrained models (docs/joint-vs-single-studies.md). In the first, the joint model
``pretrained-total`` makes 3.4 times as many updates as each single-task model; in the second, each single-task model
makes as many updates as that joint model, so that all of them together have four times its compute. Seeds 3 and 4 were
added after the results of seeds 0 to 2, and in seed 4, single-task VQA and SNLI-VE are not learned, so the comparison
is also printed without them.

Together, the studies have both kinds of models in short and in long training, so that the gains by the longer training
can be compared. Its p-value is also given after Holm's correction with the recorded means of both studies.

Scores on training examples tell whether models have memorised them. The studies recorded none of ``pretrained-total``.
So this joint model was trained again in some seeds, in the folder of the second study (docs/study-record.md):

    twelve train seed-0/runs/pretrained/config.yaml --set training.iterations=4710 --set run=total-0

The iterations are those that the first study recorded. Given such runs, this checks that they repeat the recorded
validation scores, and adds their scores on training examples to the results.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lead_after_pretraining import told
from two_studies import RESULTS, tell, with_arm

from twelve.config import load_run
from twelve.study.finding_types import Comparison, Findings
from twelve.study.findings import findings
from twelve.study.multiple import adjusted

STUDY, LONGER = RESULTS / "study-four-tasks-pretrained", RESULTS / "study-four-tasks-pretrained-longer"
SHORT, JOINT, SINGLE, LONG = "pretrained", "pretrained-total", "single-pretrained", "single-pretrained-longer"
CONTRASTS = ((JOINT, LONG), (LONG, SINGLE), (JOINT, SHORT), (JOINT, SINGLE))
WITHOUT = ((), (3, 4), (4,))
"""Seeds that are left out, in the order in which the comparison is printed."""
AGAIN = RESULTS / "pretrained-total-on-training-examples.json"
"""Seed -> commit, and task -> scores of the joint model that was trained again, in per cent."""


def both(place: Path, without: Sequence[int] = ()) -> Findings:
    return with_arm(place, STUDY, LONGER, SINGLE, LONG, CONTRASTS, without)


def corrected(lead: Comparison) -> float:
    """The p-value of a mean over all tasks, after Holm's correction with those that both studies record."""
    recorded = {(each.contrast.name, each.p) for study in (STUDY, LONGER) for each in findings(study).comparisons}
    return adjusted([lead.p, *(p for _, p in recorded)])[0]  # one of their means is the same in both


def trained_again(run: Path) -> tuple[str, dict[str, Any]]:
    """The seed of a joint model that was trained again, and what is recorded of it.

    Raises:
        ValueError: its validation scores are not the recorded ones.
    """
    seed = str(load_run(run).seed)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    points = [line for line in lines if line["kind"] == "validation" and line["iteration"]]  # studies skip the first
    trained, machine = (json.loads((run / name).read_text("utf-8")) for name in ("trained.json", "machine.json"))
    tasks = {}
    for task, score in trained["on_training_examples"].items():
        recorded = json.loads((STUDY / f"seed-{seed}/results/{JOINT}/{task}.json").read_text(encoding="utf-8"))
        curve = [[each["iteration"], each["score"]] for each in points if each["task"] == task]
        if curve != recorded["recorded"]["curve"]:
            raise ValueError(f"{run}, {task}: expected the recorded validation scores, found {curve[:3]} ...")
        tasks[task] = {
            "passes": round(trained["examples"][task] / trained["training_examples"][task], 1),
            "on training examples": round(100 * score, 1),
            "in validation": round(100 * recorded["validation"], 1),
        }
    return seed, {"commit": machine["commit"], "tasks": tasks}


def on_training_examples(found: Findings) -> None:
    """Print what share of the lead each task has, and the scores on training examples."""
    lead = found.comparisons[0]
    again = json.loads(AGAIN.read_text(encoding="utf-8"))
    for cell, row in zip(lead.cells, found.rows, strict=True):
        share, single = cell.closed.mean / sum(each.closed.mean for each in lead.cells), row.scores[LONG]
        print(f"{row.title}: {100 * share:.0f}% of the lead")
        means = [
            statistics.mean(value for value in values if value is not None)
            for values in (single.passes, single.on_training_examples, single.validation)
        ]
        print("    {}: {:.1f} passes, {:.1f} on training examples, {:.1f} in validation".format(LONG, *means))
        for seed, each in again.items():
            print(f"    {JOINT}, seed {seed}: {each['tasks'][cell.task]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="joint models that were trained again")
    if runs := parser.parse_args().runs:
        before = json.loads(AGAIN.read_text(encoding="utf-8"))
        made = dict(sorted((before | dict(map(trained_again, runs))).items()))
        AGAIN.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    for without in WITHOUT:
        print("\nwithout seeds " + ", ".join(map(str, without)) if without else "all seeds")
        with tempfile.TemporaryDirectory() as place:
            found = both(Path(place), without)
        tell(found)
        lead, single, joint, _ = found.comparisons
        told("how much more the joint model gains by longer training", np.subtract(joint.seeds, single.seeds))
        if not without:
            on_training_examples(found)
            print(f"p of {lead.contrast.name}: {lead.p:.3f}, after Holm's correction {corrected(lead):.3f}")


if __name__ == "__main__":
    main()
