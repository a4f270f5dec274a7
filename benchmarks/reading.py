"""How fast official files are read, and in how much memory: as a list, into the cache, and from the cache.

    python benchmarks/reading.py --out benchmarks/results/reading.json

Files are the microworld's, in their official layouts, made long by repetition with fresh ids and images. Every
measurement is a process of its own; memory is its peak (getrusage) beyond what importing the package took, and holds
the pages of mapped files that were touched. Medians over the rounds; written as JSON with the machine named.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

STEP = 10**9
"""Between the ids of one repetition and those of the next."""
MODES = {"list": "read as a list", "first": "into the cache", "again": "from the cache"}
SIZES = (500, 2_000, 8_000, 32_000)
"""Records of the files that show from which size on a cache gains something."""


def rows(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def repeated(records: list[Any], times: int, change: Callable[[Any, int], None]) -> Iterator[Any]:
    """Every record ``times`` times, changed by ``change(record, repetition)``."""
    texts = [json.dumps(record) for record in records]
    for repetition in range(times):
        for text in texts:
            record = json.loads(text)
            change(record, repetition)
            yield record


def write_lists(path: Path, tree: dict[str, Any], key: str, records: Iterator[Any]) -> None:
    """A JSON object with a long list under ``key``, record by record."""
    head = json.dumps({name: value for name, value in tree.items() if name != key})[:-1]
    with path.open("w", encoding="utf-8") as stream:
        stream.write(f"{head}{', ' if len(tree) > 1 else ''}{json.dumps(key)}: [")
        stream.writelines(f"{', ' if number else ''}{json.dumps(record)}" for number, record in enumerate(records))
        stream.write("]}")


def write_lines(path: Path, records: Iterator[Any]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(record) + "\n" for record in records)


def coco_name(number: int) -> str:
    return f"COCO_train2014_{number:012d}.jpg"


def shifted(*keys: str) -> Callable[[Any, int], None]:
    """A change that moves whole numbers."""

    def change(record: Any, repetition: int) -> None:
        for key in keys:
            record[key] += repetition * STEP

    return change


def vqa(folder: Path, times: int) -> None:
    for path, key in (
        (folder / "v2_OpenEnded_mscoco_train2014_questions.json", "questions"),
        (folder / "v2_mscoco_train2014_annotations.json", "annotations"),
    ):
        tree = rows(path)
        write_lists(path, tree, key, repeated(tree[key], times, shifted("question_id", "image_id")))


def gqa(folder: Path, times: int) -> None:
    path = folder / "train_balanced_questions.json"
    records = [json.dumps(record) for record in rows(path).items()]
    (folder / "train_choices.json").unlink(missing_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        stream.write("{")
        for repetition in range(times):
            for number, text in enumerate(records):
                key, record = json.loads(text)
                record["imageId"] = f"{repetition}{record['imageId']}"
                comma = ", " if repetition or number else ""
                stream.write(f'{comma}"{repetition:06}{key}": {json.dumps(record)}')
        stream.write("}")


def vg_qa(folder: Path, times: int) -> None:
    def change(record: Any, repetition: int) -> None:
        shifted("id")(record, repetition)
        for question in record["qas"]:
            shifted("qa_id", "image_id")(question, repetition)

    path = folder / "question_answers.json"
    found = list(repeated(rows(path), times, change))
    path.write_text(json.dumps(found), encoding="utf-8")


def captions(folder: Path, times: int, *, coco: bool) -> None:
    def change(record: Any, repetition: int) -> None:
        name = record["filename"]
        record["filename"] = coco_name(record["cocoid"] + repetition * 10**6) if coco else f"{repetition}{name}"
        shifted("imgid")(record, repetition)
        for sentence in record["sentences"]:
            shifted("sentid", "imgid")(sentence, repetition)

    (path,) = folder.glob("dataset_*.json")
    tree = rows(path)
    write_lists(path, tree, "images", repeated(tree["images"], times, change))


def refer(folder: Path, times: int) -> None:
    import pickle

    def image(record: Any, repetition: int) -> None:
        record["id"] += repetition * STEP
        record["file_name"] = coco_name(record["id"])

    def phrase(record: Any, repetition: int) -> None:
        shifted("ref_id", "ann_id", "image_id")(record, repetition)
        record["file_name"] = coco_name(record["image_id"]).replace(".jpg", f"_{record['ann_id']}.jpg")
        record["sent_ids"] = [number + repetition * STEP for number in record["sent_ids"]]
        for sentence in record["sentences"]:
            sentence["sent_id"] += repetition * STEP

    tree = rows(folder / "instances.json")
    tree["images"] = list(repeated(tree["images"], times, image))
    tree["annotations"] = list(repeated(tree["annotations"], times, shifted("id", "image_id")))
    (folder / "instances.json").write_text(json.dumps(tree), encoding="utf-8")
    for path in folder.glob("refs(*).p"):
        refs = list(repeated(pickle.loads(path.read_bytes()), times, phrase))
        path.write_bytes(pickle.dumps(refs, protocol=2))


def visual7w(folder: Path, times: int) -> None:
    def change(record: Any, repetition: int) -> None:
        shifted("image_id")(record, repetition)
        record["filename"] = f"v7w_{record['image_id']}.jpg"
        for question in record["qa_pairs"]:
            shifted("qa_id", "image_id")(question, repetition)

    path = folder / "dataset_v7w_pointing.json"
    tree = rows(path)
    write_lists(path, tree, "images", repeated(tree["images"], times, change))


def guesswhat(folder: Path, times: int) -> None:
    import gzip

    def change(record: Any, repetition: int) -> None:
        record["id"] += repetition * STEP
        record["image"]["file_name"] = coco_name(record["image"]["id"] % 10**6 + repetition * 10**6)

    path = folder / "guesswhat.train.jsonl.gz"
    games = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(game) + "\n" for game in repeated(games, times, change))


def nlvr2(folder: Path, times: int) -> None:
    def change(record: Any, repetition: int) -> None:
        split, group, pair, sentence = record["identifier"].split("-")
        record["identifier"] = f"{split}-{int(group) + repetition * 10**6}-{pair}-{sentence}"

    path = folder / "train.json"
    write_lines(path, repeated(lines(path), times, change))


def snli_ve(folder: Path, times: int) -> None:
    def change(record: Any, repetition: int) -> None:
        record["pairID"] = f"{repetition}{record['pairID']}"
        for key in ("Flikr30kID", "Flickr30kID", "Flickr30K_ID"):
            if key in record:
                record[key] = f"{repetition:06}{record[key]}"

    path = folder / "snli_ve_train.jsonl"
    write_lines(path, repeated(lines(path), times, change))


READERS: dict[str, Callable[[Path, int], None]] = {
    "vqa": vqa,
    "gqa": gqa,
    "vg_qa": vg_qa,
    "coco": partial(captions, coco=True),
    "flickr30k": partial(captions, coco=False),
    "refcoco": refer,
    "refcoco+": refer,
    "refcocog": refer,
    "visual7w": visual7w,
    "guesswhat": guesswhat,
    "nlvr2": nlvr2,
    "snli_ve": snli_ve,
}


def build(world: Path, out: Path, name: str, records: int) -> None:
    """A data root with one task's files of about as many training records."""
    import shutil

    from twelve.formats.data_root import DataRoot
    from twelve.tasks.base import get

    folder = shutil.copytree(world / name, out / name)
    task = get(name)
    READERS[name](folder, max(1, round(records / len(task.read(DataRoot(out), task.train_split)))))


def measure(root: Path, name: str, mode: str) -> dict[str, float]:
    """Read the training split once, and go through its examples once."""
    import pyarrow.compute  # noqa: F401  (this and the next are imported when first used)
    import rich.console  # noqa: F401

    from twelve.data.examples import reading
    from twelve.formats.data_root import DataRoot
    from twelve.tasks.base import get

    reading.LARGE = 0
    task, data = get(name), DataRoot(root)  # by now all that reads is imported
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, processor = time.perf_counter(), time.process_time()
    if mode == "list":
        examples = task.read(data, task.train_split)
    else:
        examples = reading.read_examples(task, data, task.train_split)  # type: ignore[assignment]
    read = time.perf_counter() - start, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    processor = time.process_time()
    count = sum(1 for _ in examples)
    return {
        "records": count,
        "megabytes": sum(path.stat().st_size for path in task.input_files(data, task.train_split)) / 2**20,
        "seconds": read[0],
        "processor_seconds": read[1],
        "peak_megabytes": peak / 2**10,
        "each_once_seconds": time.process_time() - processor,
    }


def child(*arguments: str, folder: Path) -> Any:
    """The result of one step in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TWELVE_CACHE": str(folder / "cache")}
    command = [sys.executable, __file__, "--step", *arguments]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, world: Path, name: str, records: int, rounds: int) -> dict[str, Any]:
    """One reader, each mode in every round; medians."""
    found: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place) / "root"
        root.mkdir()
        child("build", str(world), str(root), name, str(records), folder=Path(place))
        for _ in range(rounds):
            subprocess.run(["rm", "-rf", str(Path(place) / "cache")], check=True)
            for mode in MODES:
                found[mode].append(child("measure", str(root), name, mode, folder=Path(place)))
    medians = {
        mode: {key: statistics.median(row[key] for row in those) for key in those[0]} for mode, those in found.items()
    }
    result: dict[str, Any] = {key: round(medians["list"][key]) for key in ("records",)}
    result["megabytes"] = round(medians["list"]["megabytes"], 1)
    for mode, those in medians.items():
        result[mode] = {key: round(those[key], 3) for key in those if key not in ("records", "megabytes")}
        result[mode]["records_per_processor_second"] = round(result["records"] / max(1e-3, those["processor_seconds"]))
    print(name, json.dumps(result), file=sys.stderr, flush=True)
    return result


def step(kind: str, *arguments: str) -> Any:
    if kind == "world":
        from twelve.microworld.make import make_microworld
        from twelve.microworld.world import WorldSizes

        sizes = {name: (min(there, 24), min(reserved, 12)) for name, (there, reserved) in asdict(WorldSizes()).items()}
        make_microworld(Path(arguments[0]), 1, WorldSizes(**sizes))
        return None
    if kind == "machine":
        from twelve.training.provenance import machine

        return machine()
    if kind == "build":
        return build(Path(arguments[0]), Path(arguments[1]), arguments[2], int(arguments[3]))
    return measure(Path(arguments[0]), arguments[1], arguments[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--records", type=int, default=20_000, help="training records of each reader's files")
    parser.add_argument("--large", type=int, default=400_000, help="records of the large file (0: none)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(READERS))
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(*options.step)))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        child("world", str(folder / "world"), folder=folder)
        run = partial(compare, folder, folder / "world")
        tree: dict[str, Any] = {"machine": child("machine", folder=folder), "modes": MODES, "rounds": options.rounds}
        tree["readers"] = {name: run(name, options.records, options.rounds) for name in options.only}
        tree["gqa_by_size"] = [run("gqa", size, options.rounds) for size in SIZES]
        if options.large:
            tree["gqa_large"] = run("gqa", options.large, 1)
    text = json.dumps(tree, indent=1) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
