"""A run that chooses among texts, its head shared with retrieval: trained, measured, reported, submitted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny
import tiny_extra_options
from rich.console import Console

from twelve import config as configuration
from twelve.evaluation import recorded
from twelve.model.vilbert import Twelve
from twelve.report.write import write_report
from twelve.run_folder import RunFolder
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.score import score

QUIET = Console(quiet=True)
TASKS = ("flickr30k", "vcr_qa", "vcr_qar", "visdial")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny.make(tmp_path_factory.mktemp("root"), train=24, val=6)
    return tiny_extra_options.make(made, train=24, val=6)


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(root, tmp_path_factory.mktemp("runs") / "options", TASKS, 20)


def trained(root: Path, folder: Path, tasks: Sequence[str], iterations: int, rate: float = 6e-3) -> Path:
    tree = tiny.tree(root, folder, sources={})
    own = {name: tiny_extra_options.settings(name) | {"learning_rate": rate} for name in tiny_extra_options.REPORTS}
    tree["tasks"] = {name: (tree["tasks"] | own)[name] for name in tasks}
    tree["training"] |= {"iterations": iterations, "eval_every": iterations, "save_every": iterations}
    return train(configuration.parse(tree), console=QUIET)


def test_one_head_for_pairs_of_every_kind(run: Path) -> None:
    model = Twelve.from_pretrained(run / "model")
    assert {key: head["kind"] for key, head in model.config.heads.items()} == {"alignment": "alignment"}


def test_it_learns_to_look(tmp_path: Path) -> None:
    root = tiny_extra_options.make(tiny.make(tmp_path / "root", train=96, val=24), train=96, val=24)
    (result,) = evaluate_run(trained(root, tmp_path / "alone", ("vcr_qa",), 300, rate=1e-3), console=QUIET)
    assert result.score.mean > 30 + max(baseline.score for baseline in result.baselines.values())


def test_measured_with_baselines_and_reported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = {result.task: result for result in evaluate_run(run)}
    for name in TASKS[1:]:
        assert set(results[name].baselines) == {"chance", "bag of words", "shuffled images"}, name
    assert results["vcr_qa"].baselines["chance"].score == 25
    assert results["visdial"].baselines["chance"].score == pytest.approx(1)
    assert results["visdial"].metrics["NDCG"] > 0
    assert "VCR answers, Q->A" in capsys.readouterr().out
    kept = recorded.read(RunFolder(run).predictions)["vcr_qa"]
    assert all(len(one.options) == 4 and isinstance(one.value, int) for one in kept)
    page = write_report(run).read_text(encoding="utf-8")
    assert "Choose among several texts" in page
    assert kept[0].options[0] in page and "[SEP]" not in page


def test_submitted_and_scored_as_measured(run: Path, root: Path, tmp_path: Path) -> None:
    truth = {"visdial": [*(root / "visdial").glob("*_val*.json")], "vcr_qa": [root / "vcr/val.jsonl"]}
    files = {}
    for name in TASKS[1:]:
        files[name] = tmp_path / name
        (measured,) = evaluate_run(run, tasks=[name], baselines=False, submit=files[name], console=QUIET)
        found = score(name, truth.get(name, truth["vcr_qa"]), files[name])
        assert {key: number.value for key, number in found.numbers.items()} == pytest.approx(dict(measured.metrics))
    both = score("vcr_qa", truth["vcr_qa"], [files["vcr_qa"], files["vcr_qar"]])
    assert set(both.numbers) == {"Q->A", "QA->R", "Q->AR"}


def test_a_split_without_labels_is_predicted(run: Path, tmp_path: Path) -> None:
    for name in TASKS[1:]:
        out = tmp_path / name
        assert evaluate_run(run, tasks=[name], split="test", submit=out, baselines=False, console=QUIET) == []
    assert len(json.loads((tmp_path / "visdial").read_text())) == 2
    assert len((tmp_path / "vcr_qar").read_text().splitlines()) == 3
