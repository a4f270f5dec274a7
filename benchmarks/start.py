"""How long commands take to start: help, an answer about one image, and mistakes, which are to be told at once.

    python benchmarks/start.py --run quickstart/run --image quickstart/data/images/vg/2300000.jpg

Every command runs in a process of its own, the commands in turns; medians of wall and of processor seconds over the
rounds after a first one, which fills the file cache. The package is compiled first, as ``pip install .`` does: with an
editable installation and PYTHONDONTWRITEBYTECODE, every command would compile it anew. Written as JSON with the machine
named.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import twelve
from twelve.training.provenance import machine


def commands(run: str, image: str) -> dict[str, list[str]]:
    """Name -> words after ``twelve``."""
    asked = ["--image", image, "--ask", "what colour is the boat?"]
    return {
        "help": ["--help"],
        "predict": ["predict", run, *asked],
        "match": ["match", run, "a red boat", "--images", image],
        "misspelt image": ["predict", run, "--image", image + "x", "--ask", "what?"],
        "misspelt run": ["predict", run + "x", *asked],
        "misspelt hub name": ["predict", "quickstarts/run", *asked],
        "misspelt task": ["predict", run, *asked, "--task", "vqaa"],
        "misspelt option": ["predict", run, *asked, "--thresold", "0.5"],
        "misspelt key": ["train", "quickstart.yaml", "--set", "training.epocs=3"],
        "misspelt run of evaluate": ["evaluate", run + "x"],
        "misspelt output of export": ["export", run, "none", "--output", "anwser"],
        "misspelt run of serve": ["serve", run + "x"],
    }


def timed(words: list[str]) -> tuple[float, float, int]:
    """Wall seconds, processor seconds (user and system), exit code."""
    before, start = os.times(), time.perf_counter()
    code = subprocess.run(
        [sys.executable, "-m", "twelve", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ).returncode
    wall, after = time.perf_counter() - start, os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return wall, spent, code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="quickstart/run")
    parser.add_argument("--image", default="quickstart/data/images/vg/2300000.jpg")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "start.json")
    arguments = parser.parse_args()
    compileall.compile_dir(Path(twelve.__file__).parent, quiet=1)
    todo = commands(arguments.run, arguments.image)
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in todo}
    for _ in range(arguments.rounds + 1):
        for name, words in todo.items():
            found[name].append(timed(words))
    rows: dict[str, Any] = {}
    for name, words in todo.items():
        codes = {code for _, _, code in found[name]}
        wanted = 2 if name.startswith("misspelt") else 0
        if codes != {wanted}:
            raise SystemExit(f"twelve {' '.join(words)}: expected exit code {wanted}, found {sorted(codes)}")
        walls, spent = ([row[place] for row in found[name][1:]] for place in (0, 1))
        rows[name] = {"s": round(statistics.median(walls), 2), "processor s": round(statistics.median(spent), 2)}
        print(f"{name:28} {rows[name]['s']:6.2f} s, {rows[name]['processor s']:6.2f} s of a processor")
    tree = {"machine": machine(), "rounds": arguments.rounds, "commands": rows}
    arguments.out.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
