"""The complete datasets' size, rehearsed: time and memory of every stage between official files and the first step.

    python benchmarks/official_size.py --folder /disk/official
    python benchmarks/official_size.py --folder small --scale 0.01 --out small.json

The files are drawn (official_files.py, official_regions.py): official layouts and counts, random words; 36 regions of
16 features an image, so that a disk holds them (25 GB). Batch sizes, text lengths and tasks are those of
configs/paper.yaml, the model is small (64 wide): the numbers are about the data. Stages, each in a process of its own:

* ``check``, ``clean``: ``twelve data check`` and ``clean`` (no image files: compared by their ids).
* ``first``, ``again``: :func:`twelve.data.prepare.prepare` without a cache, and with one.
* ``start``, ``step``, ``resume``: ``twelve train`` until its first step, without the lengths of texts and neighbours of
  images in the cache, with them, and resumed from a checkpoint.
* ``loader``: 504 batches, 42 of every task, as fast as this machine builds them, by 0, 1, 2 and 4 workers. Memory is
  noted six times on the way: of all processes, shared pages counted once, and what the largest worker has written and
  shares with no other process. And how many batches a GPU would consume, from counted operations.
* ``everything``: prepare on GQA's train_all instead of train_balanced, without a cache and with one.

Seconds of a busy machine say little; processor seconds are of all threads and processes. "resident" counts mapped pages
of files, which the system takes back when it needs them; "own" does not (Linux). Files are made unless the folder has
them. Results are added to those that are there, with commit and load of their time, so stages can be run one by one
(``--stages``).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

STAGES = ("check", "clean", "first", "again", "start", "step", "resume", "loader", "everything")
MODEL = {
    **dict.fromkeys(("hidden_size", "v_hidden_size", "bi_hidden_size", "intermediate_size", "v_intermediate_size"), 64),
    **dict.fromkeys(("num_hidden_layers", "v_num_hidden_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "v_num_attention_heads", "bi_num_attention_heads"), 2),
    **{name: [1] for name in ("t_biattention_id", "v_biattention_id")},
}
"""Fields of the small model that differ from the paper's."""
FEW = 10_000_000
"""Bytes of GQA's questions, of which a smaller file may have only the 3,000 that minval takes from trainval."""
WORKERS = (0, 1, 2, 4)
BATCHES, SAMPLES = 42, 6
"""Batches of every task, after two to warm up, and how often memory is noted meanwhile."""
GPU = {"name": "NVIDIA B200", "dense bf16 TFLOP/s": 2250, "utilization": 0.4}
"""The fastest one can name: the maker's figure (data sheet of the HGX B200: 36 PFLOP/s with sparsity for 8 of them,
half without), and a share of it that good training code reaches."""


# --- in a process of its own ------------------------------------------------------------------------------------------
def own_memory(process: int | str = "self") -> tuple[int, int, int]:
    """(anonymous memory, that and mapped files, what the process has written and shares with no other) of a process in
    bytes; in the first two, pages that several processes share are divided among them. Zeros where not known."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0, 0, 0
    found = {name: int(size) << 10 for name, size in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    own = found.get("Pss_Anon", found.get("Anonymous", 0))
    return own, found.get("Pss", 0), found.get("Private_Dirty", 0)


class Measured:
    """Seconds, processor seconds and memory of a block."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self._most, self._over = own_memory()[0], threading.Event()

    def __enter__(self) -> Measured:
        self._before, self._begun = processor(), time.perf_counter()
        self._watch = threading.Thread(target=self._watching, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.mark("")
        self._over.set()
        self._watch.join()
        self.found |= {
            "peak resident, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            "peak own, MB": self._most >> 20,
        }

    def mark(self, what: str) -> None:
        """Note the time so far."""
        prefix = f"{what}: " if what else ""
        self.found[f"{prefix}seconds"] = round(time.perf_counter() - self._begun, 2)
        self.found[f"{prefix}processor seconds"] = round(processor() - self._before, 2)

    def _watching(self) -> None:
        while not self._over.wait(0.5):
            self._most = max(self._most, own_memory()[0])


def processor() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def configured(folder: Path, *settings: str) -> Any:
    from twelve.config import load

    tokenizer = folder / "tokenizer"
    sizes = [f"model.architecture.{name}={value}" for name, value in MODEL.items()]
    fixed = [
        f"data={folder / 'root'}",
        f"run={folder / 'run'}",
        "init=null",
        "model.text_encoder=null",
        f"model.tokenizer={tokenizer}",
    ]
    fixed += ["model.architecture.v_feature_size=16", "training.threads=1", "training.workers=0"]
    fixed += ["training.iterations=3", "training.eval_examples=8", "training.save_every=1"]
    if (folder / "root/gqa/train_balanced_questions.json").stat().st_size < FEW:
        fixed += ["tasks.vqa.train=null", "tasks.gqa.train=null", "tasks.vqa.val_split=val"]
        fixed += ["tasks.gqa.val_split=val_balanced"]
    return load("configs/paper.yaml", [*fixed, *sizes, *settings])


def check(folder: Path) -> dict[str, Any]:
    from twelve.data.check import check_root

    with Measured() as measured:
        report = check_root(folder / "root")
    problems = [error for task in report.tasks for split in (task.train, *task.measured) for error in split.errors]
    return measured.found | {"tasks": len(report.tasks), "ok": report.ok, "errors": problems}


def clean(folder: Path) -> dict[str, Any]:
    from twelve.data.exclusions import find_exclusions

    with Measured() as measured:
        found = find_exclusions(folder / "root")
        found.write(folder / "exclusions")
    lost = {task.task: round(task.lost, 1) for task in found.tasks}
    return measured.found | {"images": found.images, "lost, per cent": lost}


def prepared(folder: Path, *settings: str) -> dict[str, Any]:
    from twelve.data.prepare import prepare

    with Measured() as measured:
        data = prepare(configured(folder, *settings))
    sizes = {name: len(task.train) for name, task in data.tasks.items()}
    answers = {key: len(vocabulary) for key, vocabulary in data.vocabularies.items()}
    return measured.found | {"examples": sum(sizes.values()), "trained on": sizes, "answers": answers}


class Stop(Exception):
    """The run has come as far as is measured."""


class Steps:
    """A training hook that notes when the first step and the first iteration are done."""

    def __init__(self, measured: Measured, iterations: int) -> None:
        self._measured, self._first, self._last = measured, -1, iterations

    def after_backward(self, iteration: int, task: str, gradients: Mapping[str, Any]) -> None: ...

    def before_step(self, iteration: int, optimizer: Any) -> None:
        if self._first < 0:
            self._first = iteration
        if iteration == self._first + self._last:
            self._measured.mark("iterations done")
            raise Stop

    def after_step(self, iteration: int, optimizer: Any) -> None:
        if iteration == self._first and "first step: seconds" not in self._measured.found:
            self._measured.mark("first step")

    def watches(self, iteration: int) -> bool:
        return False


def trained(folder: Path, *, resume: bool) -> dict[str, Any]:
    """The first steps of a run, which is then left as if it had been killed, after a checkpoint."""
    from contextlib import suppress

    from twelve.runs.train import train

    if not resume:
        shutil.rmtree(folder / "run", ignore_errors=True)
    with Measured() as measured, suppress(Stop):
        train(configured(folder), resume=resume, hook=Steps(measured, 1))
    return measured.found


def loader(folder: Path, workers: Sequence[int]) -> dict[str, Any]:
    """Batches of every task by so many workers: examples and pairs a second, and memory."""
    import numpy as np

    from twelve.data.batch import Collator
    from twelve.data.kept import kept_of_regions
    from twelve.data.text_lengths import text_lengths
    from twelve.runs.train import beginning

    _, processor_, data, _ = beginning(configured(folder))
    given = {}
    for name, task in data.tasks.items():
        hard = task.output.prepare(task.train, data.store.get, keep=kept_of_regions(data.store))
        collator = Collator(name, task.output, task.task.output, processor_, data.store, hard)
        lengths = np.minimum(text_lengths(task.train, processor_, name), processor_.max_text[name])
        given[name] = (task, lengths, collator)
    found = {}
    for count in workers:
        found[str(count)] = batches(given, count)
        print(count, json.dumps(found[str(count)]), file=sys.stderr, flush=True)
    return found


def batches(given: Mapping[str, tuple[Any, Any, Any]], workers: int) -> dict[str, Any]:
    """The loader's work with so many workers; ``given``: task -> its data, lengths of texts and collator."""
    import torch

    from twelve.data.loader import Pool, TaskBatches

    pool = Pool(workers)
    streams = {
        name: TaskBatches(task.train, lengths, collator, batch_size=task.batch_size, seed=task.task.token, pool=pool)
        for name, (task, lengths, collator) in given.items()
    }
    for stream in itertools.chain.from_iterable(itertools.repeat(tuple(streams.values()), 2)):
        stream.next()
    tasks, memory = {}, [together()]
    begun, before = time.perf_counter(), everyone()
    for _ in range(SAMPLES):
        for name, stream in streams.items():
            start = time.perf_counter()
            found = [stream.next() for _ in range(BATCHES // SAMPLES)]
            seconds = time.perf_counter() - start
            pairs = sum(batch.pairs for batch in found)
            row = tasks.setdefault(name, {"pairs": 0, "examples": 0, "seconds": 0.0})
            row["pairs"] += pairs
            row["examples"] += sum(len(batch.examples) for batch in found)
            row["seconds"] += seconds
            del found
        memory.append(together())
    total, spent = time.perf_counter() - begun, everyone() - before
    examples, pairs = (sum(row[key] for row in tasks.values()) for key in ("examples", "pairs"))
    pool.close()
    return {
        "threads": torch.get_num_threads(),
        "examples/s": round(examples / total),
        "pairs/s": round(pairs / total),
        "examples per processor second": round(examples / spent),
        "pairs per processor second": round(pairs / spent),
        "memory of all processes, MB": [round(each["all"] / 2**20) for each in memory],
        "of which own, MB": [round(each["own"] / 2**20) for each in memory],
        "unshared of the largest worker, MB": [round(each["worker"] / 2**20) for each in memory],
        "tasks": {name: {key: round(value, 2) for key, value in row.items()} for name, row in tasks.items()},
    }


def processes() -> list[int]:
    """This process and its children, without the one with which Python keeps track of shared memory."""
    try:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    except OSError:
        children = []
    programs = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [os.getpid(), *(child for child, program in programs.items() if b"resource_tracker" not in program)]


def together() -> dict[str, int]:
    """Memory of this process and its children in bytes: all (shared pages once), own (likewise), and what the largest
    child shares with no other process."""
    parent, *children = [own_memory(each) for each in processes()]
    return {
        "all": sum(share for _, share, _ in (parent, *children)),
        "own": sum(own for own, _, _ in (parent, *children)),
        "worker": max((unshared for _, _, unshared in children), default=0),
    }


def everyone() -> float:
    """Processor seconds of this process and its children, alive or not."""
    total = processor()
    for child in processes()[1:]:
        with open(f"/proc/{child}/stat", encoding="utf-8") as stream:
            user, system = stream.read().rpartition(")")[2].split()[11:13]
        total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


def consumption() -> dict[str, Any]:
    """Pairs a second that the paper's model could train on :data:`GPU`. A backward pass counts as two forward passes;
    texts are as long as the task allows, images have 100 regions. Operations are counted on tensors without content."""
    import torch
    from paper_size import HEADS, SHAPES, draw
    from torch.utils.flop_counter import FlopCounterMode

    from twelve.config import load
    from twelve.model.config import TwelveConfig
    from twelve.model.vilbert import Twelve

    config = load("configs/paper.yaml")
    fields: dict[str, Any] = {**config.model.architecture, "heads": {key: dict(head) for key, head in HEADS.items()}}
    with torch.device("meta"):
        model = Twelve(TwelveConfig(**fields)).eval()
    found = {}
    for shape in SHAPES:
        batch = draw(shape, 2, config.tasks[shape.task].max_text or 20, 0)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(**batch.inputs("meta"), outputs=(batch.output,))
        each = 3 * counter.get_total_flops() / (2 * shape.pairs)
        speed = GPU["dense bf16 TFLOP/s"] * 1e12 * GPU["utilization"]  # type: ignore[operator]
        found[shape.task] = {"GFLOP a pair, training": round(each / 1e9, 1), "pairs/s": round(speed / each)}
    return {"gpu": GPU, "tasks": found}


def files(folder: Path, scale: float) -> dict[str, Any]:
    from official_files import WRITERS, write_files
    from official_regions import write_regions
    from official_world import World

    world, sizes = World(scale), {}
    with Measured() as measured:
        for name in WRITERS:
            write_files(world, folder / "root", [name])
        write_regions(world, folder / "root" / "regions")
        characters = [chr(97 + letter) for letter in range(26)] + list("?.,0123456789")
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{each}" for each in characters)]
        (folder / "tokenizer").mkdir(exist_ok=True)
        (folder / "tokenizer" / "vocab.txt").write_text("\n".join([*pieces, *world.words]) + "\n")
    for name in (*WRITERS, "regions"):
        found = (path.stat().st_size for path in (folder / "root" / name).rglob("*") if path.is_file())
        sizes[name] = round(sum(found) / 1e6)
    return measured.found | {"MB": sizes}


# --- the stages -------------------------------------------------------------------------------------------------------
def stage(name: str, folder: Path, argument: str, scale: float) -> Any:
    """One stage, in this process."""
    kinds: dict[str, Callable[[], Any]] = {
        "files": lambda: files(folder, scale),
        "check": lambda: check(folder),
        "clean": lambda: clean(folder),
        "prepare": lambda: prepared(folder, *filter(None, argument.split())),
        "train": lambda: trained(folder, resume=False),
        "resume": lambda: trained(folder, resume=True),
        "loader": lambda: loader(folder, [int(count) for count in argument.split()]),
        "consumption": consumption,
        "machine": described,
    }
    return kinds[name]()


def cached_at(scale: float) -> None:
    """Cache at any scale what is cached at full size."""
    from twelve.data import kept
    from twelve.data.examples import reading

    reading.LARGE, kept.MANY = round(reading.LARGE * scale), round(kept.MANY * scale)


def described() -> dict[str, Any]:
    from twelve.training.provenance import machine

    return machine()


def child(name: str, folder: Path, scale: float, argument: str = "") -> Any:
    """The result of a stage in a process of its own."""
    environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"TWELVE_CACHE": str(folder / "cache")}
    command = [sys.executable, __file__, "--stage", name, "--folder", str(folder), "--scale", str(scale)]
    command += ["--argument", argument]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(name, argument, json.dumps(found), file=sys.stderr, flush=True)
    return found


def without(folder: Path, *parts: str) -> None:
    """Remove parts of the cache."""
    for part in parts or ("",):
        shutil.rmtree(folder / "cache" / part, ignore_errors=True)


def run(name: str, folder: Path, scale: float) -> Any:
    """The results of a stage; stages that need a cache find that of the ones before."""
    measured = partial(child, folder=folder, scale=scale)
    if name == "first":
        without(folder)
    elif name == "start":
        without(folder, "texts", "neighbours-100")
    elif name == "everything":
        without(folder, "examples/gqa")
        setting = "tasks.gqa.train=train_all"
        return {part: measured("prepare", argument=setting) for part in ("first", "again")}
    elif name == "loader":
        rows = measured("loader", argument=" ".join(map(str, WORKERS)))
        return {"workers": rows, "a GPU consumes": measured("consumption")}
    return measured({"first": "prepare", "again": "prepare", "start": "train", "step": "train"}.get(name, name))


@contextmanager
def added(path: Path) -> Iterator[dict[str, Any]]:
    """The results so far; what the block adds is written."""
    tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    yield tree
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the files and their cache: 40 GB at full scale")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the official counts, 0.01 to 1")
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=STAGES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "official-size.json")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--argument", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    if options.stage:
        cached_at(options.scale)
        print(json.dumps(stage(options.stage, folder, options.argument, options.scale)))
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokenizer").is_dir():
        with added(options.out) as tree:
            tree["files"] = child("files", folder, options.scale)
    for name in options.stages:
        found, machine = run(name, folder, options.scale), child("machine", folder, options.scale)
        when = {"commit": machine.pop("commit"), "load": [round(each, 1) for each in os.getloadavg()]}
        with added(options.out) as tree:
            tree |= {"machine": machine, "scale": options.scale, name: found}
            tree.setdefault("measured at", {})[name] = when


if __name__ == "__main__":
    main()
