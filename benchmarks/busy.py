"""What other programs cost: the quickstart, training on the real sample and extraction, alone and beside busy loops.

    python benchmarks/busy.py
    python benchmarks/busy.py --part extraction --images 30

A busy loop is ``python -c "while True: pass"``; there are two of them. Every command runs twice, as a user runs it, in
a process of its own: first alone, then beside the loops. On a machine that does other work as well neither number says
much; its load at the start is kept, and so are the processor seconds of each command, which waiting for others does not
raise but spinning does. The real sample's training needs its data and ``make real-regions`` before it, and is left out
where they are missing. Images to extract are drawn. Written as JSON with machine and commit named.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from twelve.training.provenance import machine

ROOT = Path(__file__).parents[1]
LOOP = "while True: pass"
EXTRACTORS: Mapping[str, tuple[float, tuple[str, ...]]] = {
    "tf_efficientnet_lite0, a grid": (1.0, ("--backbone", "tf_efficientnet_lite0", "--boxes", "grid:25")),
    "fasterrcnn_resnet50_fpn, its own boxes": (0.04, ("--backbone", "fasterrcnn_resnet50_fpn", "--boxes", "detect")),
    "x152, its own boxes": (0.01, ("--backbone", "x152", "--boxes", "detect")),
}
"""What extracts: share of the images that it gets, and its options. Weights are random: they change no time."""


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many busy loops beside the block."""
    running = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(loops)]
    try:
        yield
    finally:
        for loop in running:
            loop.kill()
            loop.wait()


def twelve(*arguments: str) -> dict[str, Any]:
    """Seconds that a command took, those of processors, and what it said of its threads."""
    begun, before = time.monotonic(), os.times()
    command = [sys.executable, "-m", "twelve", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    seconds, after = time.monotonic() - begun, os.times()
    if done.returncode:
        raise SystemExit(f"twelve {' '.join(arguments)}\n{done.stderr}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    said = [line for line in done.stderr.splitlines() if " a step" in line or line.startswith("warning: other proc")]
    return {"seconds": round(seconds, 1), "processor seconds": round(spent, 1), "threads": said}


def quickstart(folder: Path, settings: list[str]) -> dict[str, Any]:
    """Seconds of every stage."""
    places = [f"run={folder / 'run'}", f"data={folder / 'data'}"]
    found = twelve("quickstart", *(part for each in places + settings for part in ("--set", each)))
    return found | {"stages": json.loads((folder / "run" / "stages.json").read_text(encoding="utf-8"))}


def real_sample(folder: Path, data: Path, regions: Path, iterations: int) -> dict[str, Any]:
    """Seconds of the first iterations, and of the whole command with its reading and its look at the end."""
    settings = [f"run={folder / 'run'}", f"data={data}", f"regions={regions}", f"training.iterations={iterations}"]
    options = (part for setting in settings for part in ("--set", setting))
    found = twelve("train", "configs/real-sample.yaml", *options)
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line["seconds"] for line in lines if line["kind"] == "step"]
    return found | {"seconds": steps[-1], "whole command": found["seconds"]}


def extraction(folder: Path, images: Path, options: tuple[str, ...]) -> dict[str, Any]:
    return twelve(
        *("regions", "extract", "--images", str(images), "--out", str(folder / "regions"), "--source", "drawn"),
        *("--weights", "random", *options),
    )


def draw(folder: Path, count: int) -> Path:
    """Images of the size of Flickr30k's, all different."""
    folder.mkdir(parents=True)
    for number in range(count):
        colours = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
    return folder


def both(work: Callable[[Path], dict[str, Any]], place: Path, loops: int) -> dict[str, Any]:
    """The same work alone and beside loops, each in a folder of its own, and how many times as long it took."""
    found: dict[str, Any] = {}
    for name, count in (("alone", 0), (f"beside {loops} busy loops", loops)):
        folder = place / ("busy" if count else "alone")
        folder.mkdir(parents=True)
        with busy(count):
            found[name] = work(folder)
        print(f"{place.name}, {name}: {found[name]['seconds']} s", flush=True)
    alone, beside = (each["seconds"] for each in found.values())
    return found | {"ratio": round(beside / alone, 2)}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no loop outlives this program
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("quickstart", "real-sample", "extraction")
    parser.add_argument("--part", action="append", choices=parts, help="all three by default")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="of the quickstart's configuration")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "realdata")
    parser.add_argument("--regions", type=Path, default=ROOT / "regions", help="of the real sample")
    parser.add_argument("--iterations", type=int, default=100, help="of the real sample's training")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--extractor", action="append", choices=[*EXTRACTORS], help="all by default")
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "busy.json")
    arguments = parser.parse_args()
    asked = arguments.part or parts
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    result: dict[str, Any] = {"machine": machine(), "load of the machine at the start": load}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if "quickstart" in asked:
            work = lambda folder: quickstart(folder, arguments.settings)  # noqa: E731
            result["quickstart"] = both(work, place / "quickstart", arguments.loops)
        if "real-sample" in asked and arguments.data.is_dir() and arguments.regions.is_dir():
            work = lambda folder: real_sample(  # noqa: E731
                folder, arguments.data, arguments.regions, arguments.iterations
            )
            result["training on the real sample"] = both(work, place / "real-sample", arguments.loops)
        if "extraction" in asked:
            rows = result["extraction"] = {}
            for number, (extractor, (share, options)) in enumerate(EXTRACTORS.items()):
                if extractor not in (arguments.extractor or EXTRACTORS):
                    continue
                count = max(1, round(share * arguments.images))
                images = draw(place / f"images-{number}", count)
                work = lambda folder, p=images, o=options: extraction(folder, p, o)  # type: ignore[misc]  # noqa: E731
                rows[extractor] = {"images": count} | both(work, place / f"extraction-{number}", arguments.loops)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
