"""An iteration of the quickstart in three ways: one thread, two threads, and processes that compute tasks side by side.

    twelve quickstart
    python benchmarks/side_by_side.py --data quickstart/data --out benchmarks/results/side-by-side.json

The ways take turns in one process, on the same model; a median of iterations is given for each. Nothing is written into
the run. Other programs must leave the cores idle.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

import torch

from twelve import config as configuration
from twelve.runs.train import beginning
from twelve.threads import cores
from twelve.training.devices import Devices
from twelve.training.eta import Pace
from twelve.training.provenance import machine
from twelve.training.trainer import Trainer

ITERATIONS = 4
"""Of one turn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="quickstart/data")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    count = cores()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
        places = [f"run={folder}/run", f"data={arguments.data}", f"training.threads={count}"]
        config = configuration.load("quickstart.yaml", places)
        model, processor, data, known = beginning(config)
        devices = Devices(config.training, Path(folder))
        run = Trainer(config, data, model, processor, Path(folder), devices, known)
        both = ends.enter_context(closing(run._helped()))
        ways = {
            "1 thread": (1, None),
            f"{count} threads": (count, None),
            f"{1 + run.helpers} processes": (1, both),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        pace = Pace(10**9, {})
        for turn in range(arguments.rounds + 1):
            for way, (threads, run._beside) in ways.items():
                torch.set_num_threads(threads)
                for _ in range(ITERATIONS):
                    begun = time.perf_counter()
                    run._iterate(pace)
                    if turn:  # the first round warms up
                        times[way].append(time.perf_counter() - begun)
    medians = {way: round(statistics.median(seconds), 4) for way, seconds in times.items()}
    first = medians["1 thread"]
    result = {
        "machine": machine(),
        "tasks": len(config.tasks),
        "together": config.optimizer.together,
        "seconds an iteration": medians,
        "times as fast as 1 thread": {way: round(first / seconds, 3) for way, seconds in medians.items()},
    }
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
