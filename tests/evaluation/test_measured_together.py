"""``evaluation.together``: tasks measured at the same time have the results of tasks measured one by one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
from rich.console import Console

from twelve import config as configuration
from twelve import forked
from twelve.errors import DataError
from twelve.run_folder import RunFolder
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train

QUIET = Console(quiet=True)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny.make(tmp_path_factory.mktemp("root"), train=8, val=3)
    tree = tiny.tree(root, tmp_path_factory.mktemp("runs") / "good")
    tree["training"] |= {"iterations": 2, "eval_every": 2, "threads": 2}
    return train(configuration.parse(tree), console=QUIET)


def measured(run: Path, together: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str]:
    counts: list[int] = []
    real = forked.each

    def each(work: Any, names: Any, count: int, *given: Any) -> Any:
        counts.append(count)
        return real(work, names, count, *given)

    monkeypatch.setattr(forked, "each", each)
    file = run / "config.yaml"
    tree = configuration.load(file).absolute()
    tree["evaluation"]["together"] = together
    file.write_text(json.dumps(tree))  # JSON is YAML
    evaluate_run(run, console=QUIET)
    assert counts == [min(2, together)]
    folder = RunFolder(run)
    results = json.loads(folder.evaluation.read_text())
    for task in results["tasks"].values():
        assert task.pop("seconds") >= 0
    return results["tasks"], folder.predictions.read_text()


def test_results_are_the_same(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [Path(shutil.copytree(finished, tmp_path / name)) for name in ("one", "both")]
    assert measured(runs[0], 1, monkeypatch) == measured(runs[1], 4, monkeypatch)


def test_a_flaw_in_the_data_is_the_same_error(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from twelve.evaluation.evaluate import Evaluator

    def fails(self: Evaluator, name: str, *given: Any) -> None:
        raise DataError("no such image", file="a.json", remedy="fetch it")

    monkeypatch.setattr(Evaluator, "measure", fails)
    with pytest.raises(DataError, match=r"^a\.json: no such image -> fetch it$"):
        evaluate_run(finished, settings=["evaluation.together=2"], console=QUIET)
