"""kill -9 at twenty random moments of a run, each followed by --resume: every loss is the uninterrupted run's."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest
import tiny
import torch
from rich.console import Console

from twelve import config as configuration
from twelve.model.vilbert import Twelve
from twelve.run_folder import RunFolder
from twelve.runs.train import train

KILLS = 20
SERVER = """
import os, sys
import twelve.training.trainer, twelve.runs.train, twelve.config
from rich.console import Console
print("ready", flush=True)
for line in sys.stdin:  # one run a line, each in a process of its own that has everything imported
    child = os.fork()
    if child == 0:
        from pathlib import Path
        config = twelve.config.load(line.strip())
        resume = (Path(config.run) / "checkpoints").is_dir()
        try:
            twelve.runs.train.train(config, resume=resume, console=Console(quiet=True))
        except BaseException as error:
            print(f"failed: {error!r}", flush=True)
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print("left", os.waitpid(child, 0)[1], flush=True)
"""


def losses(run: Path) -> list[object]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["iteration"], line["kind"], line.get("losses"), line.get("score")) for line in lines]


def answer(stream: IO[str]) -> str:
    line = stream.readline().strip()
    assert line and not line.startswith("failed"), line
    return line


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_twenty_kills(tmp_path: Path) -> None:
    root = tiny.make(tmp_path / "root", train=6, val=2)
    trees = [tiny.tree(root, tmp_path / name) for name in ("whole", "killed")]
    for tree in trees:
        tree |= {"tasks": {name: tree["tasks"][name] for name in ("vqa", "snli_ve")}, "sources": {}}
        tree["training"] |= {"iterations": 40, "save_every": 2, "eval_every": 4, "log_every": 1, "threads": 1}
        tree["model"]["architecture"] |= {"hidden_dropout_prob": 0.1, "v_hidden_dropout_prob": 0.1}
    whole = train(configuration.parse(trees[0]), console=Console(quiet=True))
    file = tmp_path / "killed.yaml"
    file.write_text(json.dumps(trees[1]))  # JSON is YAML
    took = json.loads(RunFolder(whole).trained.read_text())["seconds"]
    rng, run, kills = random.Random(0), tmp_path / "killed", 0
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        assert answer(server.stdout) == "ready"
        while not RunFolder(run).trained.is_file():
            server.stdin.write(f"{file}\n")
            server.stdin.flush()
            child = int(answer(server.stdout))
            if kills < KILLS:
                # So soon that a run of forty iterations cannot get far in one life, from its start to its middle.
                time.sleep(rng.uniform(0.02, 0.5 + took / 8))
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(child, signal.SIGKILL)
                kills += 1
            left = answer(server.stdout)
            assert left in ("left 9", "left 0"), left
        server.stdin.close()
    assert kills >= 5, "the run ended before it was killed often"
    assert losses(run) == losses(whole)
    one, other = (Twelve.from_pretrained(folder / "model").state_dict() for folder in (whole, run))
    assert all(torch.equal(one[name], other[name]) for name in one)
