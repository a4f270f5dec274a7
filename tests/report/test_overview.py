"""The first screen of a report: is it good, where is it weak, what next; and that its commands run as they stand."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import fake_run
import pytest
import tiny
import yaml
from rich.console import Console
from test_docs import parsed
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.data import table_origin
from twelve.data.examples.store import checksum
from twelve.errors import DataError
from twelve.evaluation import calibration, recorded
from twelve.evaluation.results import Baseline
from twelve.formats.data_root import DataRoot
from twelve.metrics.bootstrap import Interval
from twelve.model.processor_file import CONFIG_FILE
from twelve.regions.store.region_store import RegionStore
from twelve.regions.store.samples import sampled
from twelve.report.heading import CHANGES, heading
from twelve.report.heading import configuration as name_of
from twelve.report.next_steps import next_steps
from twelve.report.own_task_steps import FEW_LEARNED, FEW_LINES
from twelve.report.reading import read_run
from twelve.report.rising import Rising, late_gain, rising
from twelve.report.scores import task_score
from twelve.report.step import Step, in_program, sibling
from twelve.report.verdict import ScoredTask, Verdict, verdict
from twelve.report.weak import PER_TASK, low_parts, weak
from twelve.report.words import about, part
from twelve.report.write import render, write_report
from twelve.run_folder import RunFolder
from twelve.runs.measured_data import taught
from twelve.runs.train import train
from twelve.tasks import base
from twelve.tasks.base import Defaults, Task
from twelve.tasks.custom import own_tasks
from twelve.training.convergence import EXAMPLES
from twelve.training.kept import LAST
from twelve.types.measurement import Measurement
from twelve.types.predictions import RecordedPrediction

BASE = Path(__file__).parents[2] / "examples" / "quickstart-model"

Tree = dict[str, Any]


def changed(run: Path, change: Callable[[Tree], object]) -> Path:
    """The run with a change of its evaluation."""
    tree = json.loads((run / "evaluation.json").read_text())
    change(tree)
    (run / "evaluation.json").write_text(json.dumps(tree))
    return run


def configured(run: Path, **training: object) -> Path:
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["training"] |= training
    (run / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that is not below the current folder, so that commands name its whole path."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))


def scored(folder: Path) -> list[ScoredTask]:
    read = read_run(folder)
    return [ScoredTask(name, read.task(name).title, task_score(result, {})) for name, result in read.results.items()]


def said(folder: Path) -> Verdict:
    return verdict(read_run(folder), scored(folder))


def titles(folder: Path) -> list[str]:
    return [step.title for step in next_steps(read_run(folder), scored(folder))]


def commands(page: str) -> list[str]:
    """Every command on a page."""
    found = re.findall(r"<pre[^>]*>(.*?)</pre>|<code>(twelve .*?)</code>", page, flags=re.S)
    found = [tuple(re.sub(r"<span class=\"(?:command|word)\">|</span>", "", text) for text in pair) for pair in found]
    lines = [html.unescape(line) for pair in found for text in pair for line in text.splitlines()]
    return [line for line in lines if line.startswith("twelve ") and line != "twelve report"]


# --- is it good? ---------------------------------------------------------------------------------------------------


def test_a_run_that_learned_in_part(run: Path) -> None:
    found = said(run)
    assert (found.word, found.good) == ("Learned in part", False)
    assert found.sentence == (
        "On 3 of 5 tasks, the model is better than every baseline (a guess that does not see the correct "
        "image). VQA v2 (27.3) is not shown to be better than the bag of words baseline (a text-only model: "
        "27.4; the difference may be chance); NLVR2 (50.1) is worse than the majority baseline (always giving the most "
        "frequent answer: 55.3). The normalised score of SNLI-VE, the only one "
        "that is known, is 27 (0: best baseline, 100: best possible). Validation scores rose on 4 of 5 tasks over the "
        "last half of the training; training of SNLI-VE was stopped before the end."
    )
    for task in ("refcoco", "flickr30k"):
        changed(run, lambda tree: tree["tasks"][task]["baselines"].update(tree["tasks"]["vqa"]["baselines"]))  # noqa: B023
    few = "(a guess that does not see the correct image); not on VQA v2, Flickr30k retrieval, RefCOCO and NLVR2. The"
    assert said(run).sentence.startswith("On 1 of 5 tasks, ") and few in said(run).sentence  # not one by one


def flat(run: Path) -> None:
    """A log whose validation scores do not rise."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines = [line | {"score": 0.5} if line["kind"] == "validation" else line for line in lines]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_only_a_fine_curve_says_that_a_run_still_improves(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    pattern = next(line for line in lines if line["kind"] == "validation")
    fine = [
        pattern | {"task": task, "iteration": at, "score": at / 100}
        for at in range(4, 41, 4)
        for task in read_run(run).config.tasks
    ]
    lines = [line for line in lines if line["kind"] != "validation"] + fine
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert said(run).word == "Learned in part, still improving"
    assert said(run).sentence.endswith("Validation scores still rise on all 5 tasks.")


def test_a_converged_run_is_not_said_to_rise(run: Path) -> None:
    flat(run)
    found, still = said(run), rising(read_run(run))
    assert found.word == "Learned in part" and "rise" not in found.sentence
    assert still is not None and (still.count, still.of, still.mostly) == (0, 4, False)
    assert rising(read_run(configured(run, iterations=80))) is None  # it ended early, because nothing improved


def beaten(tree: Tree, score: float, upper_bound: float | None) -> None:
    for task, result in tree["tasks"].items():
        result |= fake_run.task_result(task, score, {"majority": 20.0}) | {"upper_bound": upper_bound}
        result["parts"] = []  # none that is weak


@pytest.mark.parametrize(
    ("score", "upper_bound", "word"),
    [(80.0, 100.0, "Good"), (40.0, 100.0, "Learned, but weak"), (40.0, None, "Learned"), (21.0, 100.0, "Not learned")],
)
def test_every_verdict(run: Path, score: float, upper_bound: float | None, word: str) -> None:
    found = said(changed(run, lambda tree: beaten(tree, score, upper_bound)))
    assert found.word == word
    assert ("mean normalised score" in found.sentence) == (upper_bound is not None)
    assert ("On all 5 tasks" in found.sentence) == (word != "Not learned")


@pytest.mark.parametrize(
    ("score", "word", "good"),
    [(80.0, "Good, but the base model knew test images", None), (40.0, "Learned, but weak", False)],
)
def test_a_base_model_that_knew_test_images(run: Path, score: float, word: str, good: bool | None) -> None:
    flat(changed(run, lambda tree: beaten(tree, score, 100.0)))

    def known(*seen: str) -> Verdict:
        data = json.loads((run / "data.json").read_text())
        found = {task: {"images": 9, "compared": 9, "seen": ["x"] if task in seen else []} for task in fake_run.KINDS}
        (run / "data.json").write_text(json.dumps(data | {"base_images": {"complete": False, "tasks": found}}))
        return said(run)

    none = known()
    assert none.good is (score > 50) and "base model" not in none.sentence
    one = known("vqa", "nlvr2")
    assert (one.word, one.good) == (word, good)
    told = [f"1 of 9 test images of {title} was used to train the base model: the score may be too high." for title in
            ("VQA v2", "NLVR2")]  # fmt: skip
    assert one.sentence == f"{none.sentence} {' '.join(told)}"
    many = known("vqa", "nlvr2", "refcoco")
    sentence = "Test images of 3 tasks were used to train the base model: their scores may be too high."
    assert (many.word, many.sentence) == (word, f"{none.sentence} {sentence}")


def test_few_groups_tell_nothing(run: Path) -> None:
    def few(tree: Tree) -> None:
        for task in tree["tasks"].values():
            task["groups"] = 4

    assert said(changed(run, few)).word == "Too few examples to tell"
    assert weak(read_run(run)).parts == [] or all(each.part for each in weak(read_run(run)).parts)
    steps = next_steps(read_run(run), scored(run))  # one command checks the files for training and for evaluation
    more = next(step for step in steps if step.title == "Get more examples")
    assert "Evaluate on more images: With fewer than 10 images, no interval of VQA v2," in more.details
    assert not any("not learned" in step.title or "not learned" in step.why for step in steps)


def alone(run: Path, score: float, lowest: float, examples: int = 10) -> Path:
    """The run with one task of its own, measured on a few examples; ``lowest``: of the advantage over bag of words."""
    tree = yaml.safe_load((run / "config.yaml").read_text())
    own = {"kind": "answer", "train": "train.jsonl", "test_split": "test.jsonl"}
    (run / "config.yaml").write_text(yaml.safe_dump(tree | {"tasks": {"mine": own}}, sort_keys=False))
    result = fake_run.task_result("vqa", score, {"majority": 50.0, "bag of words": 50.0})
    result |= {
        "task": "mine",
        "title": "mine",
        "examples": examples,
        "groups": examples,
        "metrics": {"accuracy": score},
    }
    result["baselines"]["bag of words"]["advantage"] |= {"low": lowest}
    result["protocol"]["split"] = "test.jsonl"
    (run / "predictions.jsonl").unlink(missing_ok=True)
    return changed(run, lambda tree: tree.update(tasks={"mine": result}))


def test_a_score_above_every_baseline_on_few_examples_is_undecided(run: Path) -> None:
    found = said(alone(run, 90.0, 0.0))
    assert (found.word, found.good) == ("Undecided", None)
    assert found.sentence == (
        "The score of 90.0 on 10 test examples is above every baseline, but not shown to be better than the "
        "bag of words baseline (a text-only model: 50.0; the difference may be chance). More test examples are needed."
    )
    page = render(read_run(run))
    assert '<span class="verdict open">undecided against bag of words 50.0</span>' in page and "ot learned" not in page
    assert titles(run)[0] == "Add test examples" and "10 test examples are too few" in page
    line = '{"text": "is it wet?", "image": "1.jpg", "target": "yes"}'
    root = Path(read_run(run).config.data)
    root.mkdir(parents=True, exist_ok=True)
    (root / "test.jsonl").write_text(f"{line}\n{line}\n")
    step = next_steps(read_run(run), scored(run))[0]
    copied = f"Copy images that are new into {root / 'images' / 'mine'}"
    lines = root / "test.jsonl"
    why = f"better than the bag of words baseline (a text-only model: 50.0): add about 30 lines to {lines}."
    assert step.why.endswith(why)
    assert f"The first line is {line}. {copied}; the first command extracts their" in step.details
    assert step.commands[0].startswith("twelve regions extract ") and step.commands[1].startswith("twelve evaluate ")

    def majority_is_close(tree: dict[str, Any]) -> None:
        majority = tree["tasks"]["mine"]["baselines"]["majority"]
        majority["score"], majority["advantage"] = 49.0, majority["advantage"] | {"low": -5.0}

    changed(alone(run, 90.0, 10.0), majority_is_close)
    assert ">undecided against majority 49.0<" in render(read_run(run))  # though the best baseline is beaten
    few = said(alone(run, 90.0, 10.0))
    word = "Above every baseline, but measured on 10 test images only"
    assert (few.word, few.good) == (word, None)  # neutral in colour
    assert f'<p class="answer open"><b>{word}.</b>' in render(read_run(run))
    assert few.sentence.startswith("The model scores 90.0 (95% interval ")
    assert " on 10 test examples: better than every baseline (" in few.sentence
    best = "The best one is the majority baseline (always giving the most frequent answer: 50.0)."
    assert best in few.sentence
    chance = fake_run.task_result("vqa", 90.0, {"chance": 50.0})["baselines"]["chance"]
    even = changed(
        run,
        lambda tree: tree["tasks"]["mine"].update(baselines={"chance": chance} | tree["tasks"]["mine"]["baselines"]),
    )
    assert best in said(even).sentence  # not chance
    many = said(alone(run, 90.0, 10.0, examples=100))
    assert (many.word, many.good) == ("Learned", True)
    below = said(alone(run, 40.0, -70.0))
    assert (below.word, below.good) == ("Not learned", False)
    assert below.sentence == (
        "The model scores 40.0 (95% interval 37 to 43) on 10 test examples: worse than the majority baseline "
        "(always giving the most frequent answer: 50.0)."
    )
    little = said(alone(run, 51.0, 0.0, examples=1000))
    assert little.word == "Not learned"  # enough to see that it is little
    assert little.sentence == (
        "The model scores 51.0 (95% interval 48 to 54): not shown to be better than the majority "
        "baseline (always giving the most frequent answer: 50.0; the difference may be chance)."
    )


@pytest.mark.parametrize(
    ("score", "low", "good"), [(98.4, 91.0, True), (98.4, 74.0, None), (94.9, 91.0, None), (98.4, 76.0, True)]
)
def test_a_score_that_leaves_nothing_to_gain_is_good_on_few_images_too(
    run: Path, score: float, low: float, good: bool | None
) -> None:
    """If even the low end of its interval is, between the best baseline, 50, and 100."""
    changed(alone(run, score, 20.0, 62), lambda tree: tree["tasks"]["mine"]["score"].update(low=low, high=100.0))
    word = "Good, measured on" if good else "Above every baseline, but measured on"
    assert (said(run).word, said(run).good) == (f"{word} 62 test images only", good)


def test_a_small_lead_on_few_examples_is_not_learned_so_far(run: Path) -> None:
    """A reader need not add test examples to learn that 52.5 beside 50 is nothing yet."""

    def wide(tree: Tree) -> None:
        result = tree["tasks"]["mine"]
        result["score"] = {"mean": 52.5, "low": 37.5, "high": 67.1}
        for each in result["baselines"].values():
            each["advantage"] = {"mean": 2.5, "low": -12.5, "high": 17.5}

    changed(alone(run, 52.5, 0.0, examples=40), wide)
    found = said(run)
    assert (found.word, found.good) == ("Not learned so far", False)
    assert found.sentence == (
        "The model scores 52.5 (95% interval 38 to 67) on 40 test examples: not shown to be better than the majority "
        "baseline (always giving the most frequent answer: 50.0; the difference may be chance). Its lead of 2.5 "
        "points is less than about a standard error (7.5), so it counts as none; a larger one would be undecided."
    )
    page = render(read_run(run))
    assert '<span class="verdict open">undecided</span>' in page and "<b>Not learned so far.</b>" in page
    line = '{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n'
    Path(read_run(run).config.data, "train.jsonl").write_text(160 * line)
    (run / "trained.json").write_text(json.dumps({"on_training_examples": {"mine": 1.0}}))
    # Memorised: 50 to 100 lines more were advised below 60.
    assert titles(run)[:2] == ["Change the question or the model", "Add test examples"]
    Path(read_run(run).config.data, "train.jsonl").write_text(59 * line)
    assert titles(run)[:2] == ["Add training examples", "Add test examples"]

    def led(mean: float, low: float, high: float) -> Verdict:
        leads = {"advantage": {"mean": mean, "low": low, "high": high}}

        def change(tree: Tree) -> None:
            for each in tree["tasks"]["mine"]["baselines"].values():
                each.update(leads)

        return said(changed(run, change))

    near = led(14.3, -14.3, 45.0)
    assert (
        near.word == "Not learned so far" and "14.3 points is less than about a standard error (14.8)" in near.sentence
    )
    over = led(15.0, -15.0, 45.0)
    assert over.word == "Undecided" and "standard error" not in over.sentence
    below = said(changed(run, lambda tree: tree["tasks"]["mine"]["score"].update(mean=49.0)))
    assert below.word == "Not learned so far" and "standard error" not in below.sentence  # there is no lead


def answered(run: Path, *answers: str) -> list[RecordedPrediction]:
    """Predictions of a task of one's own; every other right answer is yes, the others are no."""
    return [
        RecordedPrediction("mine", "answer", "test.jsonl", str(row), "is it wet?", (f"mine/{row}",), {wanted: 1.0},
                           answer, 0.9, ((answer, 0.9),), float(answer == wanted))
        for row, answer in enumerate(answers) for wanted in [("yes", "no")[row % 2]]
    ]  # fmt: skip


def test_the_same_answer_to_everything_is_said_first(run: Path) -> None:
    alone(run, 40.0, -70.0, examples=10)
    assert "It answers" not in said(run).sentence  # nothing shows it
    recorded.write(RunFolder(run).predictions, answered(run, *["yes"] * 9, "no"))
    assert said(run).sentence.endswith("the most frequent answer: 50.0). It answers yes to 9 of 10 questions.")
    recorded.write(RunFolder(run).predictions, answered(run, *["yes"] * 8, "no", "no"))
    assert "It answers" not in said(run).sentence
    recorded.write(RunFolder(run).predictions, answered(run, *["yes"] * 8))
    assert "It answers yes to 8 of 8 random questions." in said(run).sentence
    (run / "predictions.jsonl").unlink()
    pairs = [{"wanted": wanted, "said": "no", "examples": count, "of": count} for wanted, count in
             (("no", 9), ("yes", 1))]  # fmt: skip
    changed(run, lambda tree: tree["tasks"]["mine"].update(confusions=pairs))
    assert "It answers no to 10 of 10 questions." in said(run).sentence
    pairs[1]["said"] = "yes"
    changed(run, lambda tree: tree["tasks"]["mine"].update(confusions=pairs))
    assert "It answers" not in said(run).sentence  # nine times no is right
    pairs[1]["said"] = "no"
    changed(run, lambda tree: tree["tasks"]["mine"].update(confusions=pairs, baselines={}))
    assert said(run).sentence.endswith("uses the images. It answers no to 10 of 10 questions.")


def test_an_undecided_task_does_not_decide_on_the_others(run: Path) -> None:
    def change(tree: Tree) -> None:
        beaten(tree, 80.0, 100.0)
        tree["tasks"]["vqa"] |= {"groups": 20, "examples": 60}
        tree["tasks"]["vqa"]["baselines"]["majority"]["advantage"]["low"] = -1.0

    flat(run)
    found = said(changed(run, change))
    assert found.word == "Good" and "On all 4 tasks, the model is" in found.sentence
    told = "undecided on too few test examples: VQA v2 (80.0; majority, always giving the most frequent answer: 20.0)."
    assert told in found.sentence
    steps = next_steps(read_run(run), scored(run))
    why = next(step.why for step in steps if step.title == "Evaluate on more examples")
    assert why.startswith("60 test examples on 20 images are too few to tell whether 80.0 is better")
    changed(run, lambda tree: [tree["tasks"][name].update(groups=4) for name in ("refcoco", "nlvr2", "flickr30k")])
    assert said(run).sentence.startswith("On SNLI-VE, the model is better than every baseline (")
    above = "Above every baseline, but measured on"
    changed(run, lambda tree: tree["tasks"]["snli_ve"].update(groups=60))
    assert (said(run).word, said(run).good) == (f"{above} 60 test images only", None)
    changed(run, lambda tree: tree["tasks"]["refcoco"].update(groups=70))
    assert (said(run).word, said(run).good) == (f"{above} at most 70 test images a task", None)
    changed(run, lambda tree: tree["tasks"]["refcoco"].update(groups=100))
    assert (said(run).word, said(run).good) == ("Good", True)
    unsure = json.loads((run / "evaluation.json").read_text())["tasks"]["vqa"]["baselines"]
    changed(run, lambda tree: [task.update(groups=20, baselines=unsure) for task in tree["tasks"].values()])
    assert said(run).word == "Undecided" and "The scores are above every baseline" in said(run).sentence
    assert "SNLI-VE (80.0; majority, always giving the most frequent answer: 20.0)" in said(run).sentence


def test_a_run_whose_training_has_not_ended_is_unfinished_whatever_its_scores(run: Path) -> None:
    found = said(configured(alone(run, 90.0, 0.0), iterations=400))
    assert (found.word, found.good) == ("Unfinished: 40 of 400 iterations", None)
    assert found.sentence.startswith("So far: Undecided. The score of 90.0 on 10 test examples is above every baseline")
    assert "More test examples" not in found.sentence
    again = f"twelve train {run / 'config.yaml'} --continue"
    page = render(read_run(run))
    assert f"Resume the training: <kbd>{again}</kbd>" in page.partition('class="answer')[2].partition("</p>")[0]
    configured(run, iterations=40)
    assert said(run).word == "Undecided" and "<kbd>" not in render(read_run(run))


def test_runs_without_results(run: Path) -> None:
    (run / "evaluation.json").unlink()
    assert said(run).word == "Not evaluated" and "the mean validation score is 60.0" in said(run).sentence
    unfinished = said(configured(run, iterations=400))
    assert unfinished.word == "Unfinished: 40 of 400 iterations" and unfinished.good is None
    assert unfinished.sentence == "About 12 min are left; the mean validation score is 60.0."
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    left = [line for line in lines if '"validation"' not in line or '"vqa"' in line]
    (run / "metrics.jsonl").write_text("".join(left))
    assert "left; the validation score is " in said(run).sentence  # of the only task
    (run / "metrics.jsonl").unlink()
    assert said(run).word == "Not trained"


class Order(Task):
    """A task that a program defines."""

    name, title = "order", "Order"
    source = "mine"
    output = kind = "answer"
    defaults = Defaults(batch_size=5, learning_rate=1e-4, max_text=20)
    file_names: ClassVar[dict[str, str]] = {"train": "train.csv", "test": "test.csv"}
    test_split = "test"
    held_out_splits: ClassVar[dict[str, tuple[str, ...]]] = {"test": ("test",)}
    scoring_protocols: ClassVar[dict[str, str]] = {}

    def measure(self, examples: object, predictions: object) -> Measurement:
        raise NotImplementedError


def ordered(run: Path, score: float, known: float, train: int, validation: int = 84) -> Path:
    """The run with a task in Python, measured on 40 examples, and its score on so many training examples."""
    tree = yaml.safe_load((small(run, score, 0.0) / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(tree | {"tasks": {"order": {}}}, sort_keys=False))
    sizes = {"order": {"train": train, "validation": validation}}
    (run / "data.json").write_text(json.dumps(json.loads((run / "data.json").read_text()) | {"tasks": sizes}))
    (run / "trained.json").write_text(json.dumps({"on_training_examples": {"order": known}}))

    def change(tree: Tree) -> None:
        result = tree["tasks"].pop("mine") | {"task": "order", "examples": 40, "groups": 40}
        result["score"] = {"mean": score, "low": score - 15, "high": score + 15}
        for each in result["baselines"].values():
            each["advantage"] = {"mean": score - 50, "low": score - 65, "high": score - 35}
        tree["tasks"]["order"] = result

    return changed(run, change)


def of_order(run: Path, *scores: float) -> None:
    """A log in which the task in Python has these validation scores, in iterations 10, 20, ..."""
    rescored(run, *scores)
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text.replace('"task": "refcoco"', '"task": "order"'))


@pytest.mark.parametrize("train", [40, 336, 1000])
def test_a_task_in_python_that_memorises_many_examples_in_vain_may_be_too_hard(
    run: Path, monkeypatch: pytest.MonkeyPatch, train: int
) -> None:
    monkeypatch.setitem(base._REGISTRY, "order", Order())
    of_order(ordered(run, 51.0, 0.986, train), 0.2, 0.4, 0.6, 0.8)
    assert said(run).word == "Not learned so far" and rising(read_run(run)) is not None
    first = next_steps(read_run(run), scored(run))[0]
    assert first.title == "Change the question or the model"
    assert f"; with {train + 84:,} examples, more may not help: the question may be too hard" in first.why
    assert not {"Train longer", "Add training examples", "Check the data of Order"} & {*titles(run)}


def test_a_task_in_python_that_is_memorised_needs_training_examples(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base._REGISTRY, "order", Order())
    of_order(ordered(run, 51.0, 0.986, 40, validation=16), 0.2, 0.4, 0.6, 0.8)
    assert said(run).word == "Not learned so far"
    first = next_steps(read_run(run), scored(run))[0]
    lines, file = 56, Path(read_run(run).config.data, "order", "train.csv")
    assert (first.title, first.why) == (
        "Add training examples",
        "The model has memorised its training examples (it scores 98.6 on them, 51.0 on the test examples): add 50 to "
        f"100 examples to {file}, which has {lines:,} examples.",
    )
    assert first.commands[-1] == f"twelve evaluate {run}-2 --split train"
    others = titles(run)[1:]
    assert "Train longer" not in others and "Check the data of Order" not in others
    page = html.unescape(render(read_run(run)))
    assert "The commands do not know the task 'order', which a program defines: call" in page
    text = re.sub("<[^>]+>", "", page)  # each word has an element of its own
    assert f"twelve.runs.evaluate.evaluate_run(Path('{run}-2'), split='train')" in text
    assert f"twelve.report.write.write_report(Path('{run}-2'))" in text
    assert not re.search(r"twelve (evaluate|train|report|serve) /", text)
    for known in (0.55, 0.75):  # not memorised: three of four known, on 40 test examples, may be chance
        ordered(run, 51.0, known, 84)
        assert "Add training examples" not in titles(run)[:1]


# --- where is it weak? ---------------------------------------------------------------------------------------------


def test_the_lowest_parts_are_listed_with_their_numbers(run: Path) -> None:
    found = weak(read_run(run))
    assert found.measured and found.compared == 5 + 2  # 80 examples are too few
    places = [each.normalised for each in found.parts]
    assert places == sorted(places)  # type: ignore[type-var]
    number = next(each for each in found.parts if each.part == "answer type “number”")
    assert (number.score.mean, number.examples, number.beaten) == (9.5, 120, False)
    text_only = "the bag of words baseline (a text-only model: 11.0; the difference may be chance)"
    assert number.baseline == f"not shown to be better than {text_only}"
    whole = {each.task: each.baseline for each in found.parts if not each.part}
    assert whole["nlvr2"] == "worse than the majority baseline (always giving the most frequent answer: 55.3)"
    assert whole["snli_ve"] == "better than the shuffled images baseline (the same model with wrong images: 63.8)"
    low = [each.part for each in low_parts(read_run(run).results["vqa"])]
    assert low == ["answer type “number”"]  # texts of some words have 26.0 +- 3, which is not below the task's 27.3
    assert max(sum(each.task == name for each in found.parts) for name in fake_run.KINDS) <= PER_TASK
    page = render(read_run(run))
    listed = page.partition('<ol class="weak">')[2]  # with the number that they are ordered by
    shown = re.findall(r"normalised score(?: on this part)?: <b>(-?\d+)</b>", listed)
    assert shown == [f"{place:.0f}" for place in places] and "The lowest normalised score is first." in page
    assert (
        " on 120 examples" in page
        and '<span class="under poor">not shown to be better than' in page
        and "so a few can be low by chance: only more test examples" in page
        and "were compared" not in page
        and "fewer than 100 examples" in page
    )


@pytest.mark.parametrize(("high", "listed"), [(-40.0, True), (-10.0, False)])
def test_a_small_part_is_listed_if_it_is_far_below_a_baseline(run: Path, high: float, listed: bool) -> None:
    result = read_run(run).results["vqa"]
    advantage = Interval(high - 20, high - 40, high)
    small = replace(result.parts[0], value="does the", examples=36, baseline=Baseline("majority", 61.1, advantage))
    found = list(low_parts(replace(result, parts=[replace(small, score=Interval(0.0, 0.0, 9.6))])))
    assert [each.examples for each in found] == ([36] if listed else [])
    told = "worse than the majority baseline (always giving the most frequent answer: 61.1)"
    assert not listed or found[0].baseline == told


def failing(run: Path, *values: str) -> Path:
    """The run, good on all tasks, with a part of one for each value, far below a baseline; the lowest first."""

    def change(tree: Tree) -> None:
        beaten(tree, 80.0, 100.0)
        lost = {"name": "majority", "score": 60.0, "advantage": fake_run.interval(-60.0)}
        tree["tasks"]["vqa"]["parts"] = [
            {"kind": "question_type", "value": value, "examples": 36, "groups": 36, "baseline": lost}
            | {"score": fake_run.interval(float(place), 1.0)}
            for place, value in enumerate(values)
        ]

    flat(run)
    return changed(run, change)


def test_parts_that_are_worse_than_a_baseline_qualify_a_good_verdict(run: Path) -> None:
    assert (said(failing(run)).word, said(run).good) == ("Good", True)
    assert (said(failing(run, "does the")).word, said(run).good) == ("Good, with weak parts", True)
    assert "<b>Good, with weak parts.</b>" in render(read_run(run))
    changed(run, lambda tree: [task.update(upper_bound=None) for task in tree["tasks"].values()])
    assert said(run).word == "Learned, with weak parts"
    changed(run, lambda tree: [task.update(groups=60) for task in tree["tasks"].values()])
    on = "but measured on at most 60 test images a task"
    assert said(run).word == f"Above every baseline, with weak parts, {on}"
    changed(run, lambda tree: tree["tasks"]["vqa"]["parts"][0]["baseline"]["advantage"].update(high=1.0))
    assert said(run).word == f"Above every baseline, {on}"  # no better: it may be chance


@pytest.mark.parametrize(("low", "word"), [(-2.0, "Good, with weak parts"), (2.0, "Good")])
def test_a_listed_part_that_is_no_better_than_a_baseline_qualifies_a_good_verdict(
    run: Path, low: float, word: str
) -> None:
    failing(run, "does the")
    advantage = {"mean": 9.0, "low": low, "high": 20.0}

    def listed(tree: Tree) -> None:
        (part,) = tree["tasks"]["vqa"]["parts"]
        part["baseline"]["advantage"], part["examples"] = advantage, 120

    changed(run, listed)
    (part,) = [each for each in weak(read_run(run)).parts if each.part]
    assert (part.beaten, part.worse, said(run).word) == (low > 0, False, word)


def test_more_parts_of_a_task_are_listed_where_they_are_worse_than_a_baseline(run: Path) -> None:
    values = ["does the", "has it", "do you", "is it", "can you"]
    found = weak(read_run(failing(run, *values))).parts
    assert [each.part for each in found if each.task == "vqa"] == [part("question_type", each) for each in values[:4]]
    assert "At most 2 per task are listed, or 4 that are worse than a baseline. These are the lowest" in render(
        read_run(run)
    )


def test_validation_scores_stand_in_for_a_run_without_results(run: Path) -> None:
    (run / "evaluation.json").unlink()
    found = weak(read_run(run))
    assert not found.measured and found.parts[0].task == "vqa" and found.parts[0].examples == 100
    assert found.parts[0].score.low == pytest.approx(30.9, abs=0.1)  # Wilson's interval of 40 of 100
    data = json.loads((run / "data.json").read_text())
    data["tasks"]["vqa"]["validation"] = 12
    (run / "data.json").write_text(json.dumps(data))
    assert all(each.task != "vqa" for each in weak(read_run(run)).parts)  # of 12 examples nothing is told


def test_why_no_part_is_listed(run: Path) -> None:
    assert weak(read_run(run)).nothing == ""
    alone(run, 90.0, 0.0)
    few = "Too few test examples to compare parts."
    assert weak(read_run(run)).nothing == f"{few} About 1 of 10 is wrong: see the wrong examples below."
    recorded.write(RunFolder(run).predictions, answered(run, *["yes", "no"] * 3, *["no", "yes"] * 2))
    assert weak(read_run(run)).nothing == f"{few} 4 of 10 are wrong: see the wrong examples below."
    page = render(read_run(run))
    assert "Too few test examples to compare parts." in page and "Nothing has been measured" not in page
    assert 'class="pair single"' in page and ".pair.single { grid-template-columns: 1fr; }" in page
    (run / "evaluation.json").unlink()
    (run / "data.json").unlink()
    assert weak(read_run(run)).nothing == "Too few validation examples to tell."
    (run / "metrics.jsonl").unlink()
    assert weak(read_run(run)).nothing == "Nothing has been measured yet."


def confused(run: Path, *pairs: tuple[str, str, int], marks: float = 0.0) -> Path:
    """The run with one task of its own and these (correct answer, predicted one, how often); ``marks``: of answers that
    are right in part."""
    of = Counter[str]()
    for wanted, _, count in pairs:
        of[wanted] += count
    told = [{"wanted": wanted, "said": name, "examples": count, "of": of[wanted]} for wanted, name, count in pairs]
    right = sum(count for wanted, name, count in pairs if wanted == name)
    alone(run, 100 * (right + marks) / of.total(), 10.0, examples=of.total())
    return changed(run, lambda tree: tree["tasks"]["mine"].update(confusions=told))


def test_the_answers_of_a_single_task_without_weak_parts_are_listed(run: Path) -> None:
    pairs = [("yes", "yes", 23), ("no", "no", 20), ("no", "yes", 5), ("yes", "no", 2)]
    found = weak(read_run(confused(run, *pairs)))
    assert found.by_answer and [each.part for each in found.parts] == ["questions whose correct answer is “no”"]
    assert [(round(each.score.mean), each.examples) for each in found.parts] == [(80, 25)]  # yes, 92, is not weak
    page = render(read_run(run))
    assert '<a href="#confidence">Questions whose correct answer is “no”</a>:\n<b>80.0</b>' in page
    (line,) = re.findall('<ol class="weak">(.*?)</ol>', page, flags=re.S)
    assert line.count("on 25 examples; may be chance</span>") == 1  # the interval, 60.9 to 91.1, contains 86.0
    assert "as a whole" not in page and "means that the interval contains the score of the task" in page
    assert said(run).word.startswith("Above every baseline, but measured on 50 ")  # answers are no weak parts
    assert weak(read_run(confused(run, *pairs, marks=3.0))).parts == []  # some answers are right in part
    for even in ([("no", "yes", 3), ("no", "no", 22)], [("no", "yes", 1), ("no", "no", 24), ("yes", "yes", 25)]):
        more = [] if len(even) == 3 else [("yes", "no", 3), ("yes", "yes", 22)]
        found = weak(read_run(confused(run, *even, *more)))
        wrong = 50 - sum(count for wanted, name, count in (*even, *more) if wanted == name)
        assert not found.parts and found.nothing.startswith("No part is clearly weaker than its task as a whole. ")
        assert f"About {wrong} of 50 " in found.nothing
        assert '<ol class="weak">' not in render(read_run(run))
    assert not weak(read_run(confused(run, ("no", "yes", 3), ("no", "no", 1), ("yes", "yes", 25)))).parts  # 4 examples
    near = [("yes", "yes", 10), ("yes", "no", 7), ("no", "no", 8), ("no", "yes", 5)]  # 58.8 of 60.0: not one example
    assert not weak(read_run(confused(run, *near))).parts


def test_of_a_high_score_only_an_answer_that_is_clearly_weaker_is_listed(run: Path) -> None:
    pairs = [("no", "no", 28), ("no", "yes", 2), ("yes", "yes", 29), ("yes", "no", 1)]  # 93.3 and 96.7 of 95
    found = weak(read_run(confused(run, *pairs)))
    assert not found.parts and found.nothing == (
        "No part is clearly weaker than its task as a whole. About 3 of 60 are wrong: see the wrong examples below."
    )
    found = weak(read_run(confused(run, ("no", "no", 8), ("no", "yes", 7), ("yes", "yes", 85))))
    assert found.by_answer and [(round(each.score.mean), each.examples) for each in found.parts] == [(53, 15)]
    assert "; may be chance" not in render(read_run(run)).partition('<ol class="weak">')[2].partition("</ol>")[0]


def test_a_single_task_as_a_whole_is_not_among_its_weak_parts(run: Path) -> None:
    changed(run, lambda tree: tree.update(tasks={"vqa": tree["tasks"]["vqa"]}))
    one(run)
    found = weak(read_run(run))
    assert [each.part for each in found.parts] == ["answer type “number”"] and not found.by_answer
    assert '<a href="#task-vqa">Answer type “number”</a>:' in render(read_run(run))


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("question_type", "how many", "question type “how many”"),
        ("words", "4-6", "texts of 4 to 6 words"),
        ("candidates", "21+", "choices among 21 or more boxes"),
        ("colour", "red", "texts that name “red”"),
        ("colour", "none", "texts that name no colour"),
        ("opening", "is there", "texts that begin with “is there”"),
        ("count", "how many", "questions “how many”"),
        ("semantic", "rel", "questions about relations"),
        ("structural", "choose", "questions with two choices"),
        ("structural", "new", "structural “new”"),
    ],
)
def test_parts_are_told_in_words(kind: str, value: str, words: str) -> None:
    assert part(kind, value) == words


# --- what next? ----------------------------------------------------------------------------------------------------


def test_a_question_of_ones_own_is_asked_about_a_folder_of_images(run: Path) -> None:
    alone(run, 90.0, 10.0)
    step = next_steps(read_run(run), scored(run))[-1]
    assert (step.title, step.commands) == ("Try it", [f"twelve serve {run}"])  # no recorded question

    def asked(text: str) -> Sequence[str]:
        recorded.write(RunFolder(run).predictions, [replace(each, text=text) for each in answered(run, "yes")])
        return next_steps(read_run(run), scored(run))[-1].commands

    root = Path(read_run(run).config.data)
    ask = "--ask 'is it wet?' --task mine --out answers.csv"
    assert asked("is it wet?") == [
        f"twelve serve {run}",
        f"twelve predict {run} --image {root / 'images' / 'mine'} {ask}",
    ]
    assert len(asked("-x")) == len(asked("")) == len(asked("x" * 300)) == 1  # none that runs as it stands


def test_steps_follow_from_the_numbers(run: Path) -> None:
    found = titles(run)
    assert found[:3] == ["Train VQA v2 alone", "Train NLVR2 alone", "Train longer"]
    assert "Get more examples" in found and found[-1] == "Try it"
    assert titles(changed(run, lambda tree: tree["facts"].update(iterations=30)))[0] == "Evaluate it again"
    assert titles(changed(run, lambda tree: tree["facts"].pop("iterations")))[0] == "Evaluate it again"
    assert titles(configured(run, iterations=400)) == ["Resume the training"]
    (run / "model").mkdir()
    assert titles(run) == ["Resume the training", "Evaluate the model so far"]
    (run / "evaluation.json").unlink()
    assert titles(configured(run, iterations=40)) == ["Evaluate it"]


def test_the_steps_do_not_repeat_the_verdict(run: Path) -> None:
    """What it does not say, they say in the same words."""
    alone_, _, longer = next_steps(read_run(run), scored(run))[:3]
    assert alone_.why == "If it learns alone, it needs more iterations here; if not, check its regions and labels."
    assert longer.why.startswith("Over the last half of the training, validation scores rose, on average, by 10.0 ")
    assert longer.why.endswith("; twice the iterations take about 3 min.")  # of 1 min 20 s
    for task in ("refcoco", "flickr30k"):
        changed(run, lambda tree: tree["tasks"][task]["baselines"].update(tree["tasks"]["vqa"]["baselines"]))  # noqa: B023
    worse = next(step for step in next_steps(read_run(run), scored(run)) if step.title == "Train VQA v2 alone")
    assert worse.why.startswith(
        "Its score of 27.3 is not shown to be better than the bag of words baseline (a text-only model: 27.4; the "
        "difference may be chance): if it "
    )
    changed(run, lambda tree: [task.update(groups=20) for task in tree["tasks"].values()])
    changed(run, lambda tree: [task["baselines"].clear() for task in tree["tasks"].values()])
    longer = next(step for step in next_steps(read_run(run), scored(run)) if step.title == "Train longer")
    assert longer.details.startswith("Validation scores rose on 4 of 5 tasks over the last half of the training; ")


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "1 s"), (20.4, "20 s"), (473, "8 min"), (754, "13 min"), (3580, "1 h 0 min")]
)
def test_an_estimate_has_whole_minutes(seconds: float, told: str) -> None:
    assert about(seconds) == told


def test_the_configuration_that_a_step_names_is_found_from_any_folder(run: Path) -> None:
    (run / "model").mkdir()
    tuned = next(step for step in next_steps(read_run(run), scored(run)) if step.title == "Fine-tune SNLI-VE")
    assert tuned.why.endswith("27 of 100; the file configs/finetune.yaml is shipped with twelve.")
    _, _, config, *settings = shlex.split(tuned.commands[0])
    assert not Path(config).exists()
    assert list(configuration.load(config, settings[1::2]).tasks) == ["snli_ve"]


def rescored(run: Path, *scores: float) -> None:
    """A log in which every task has these validation scores, in iterations 10, 20, ..."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines = [
        line | {"score": scores[line["iteration"] // 10 - 1]} if line["kind"] == "validation" else line
        for line in lines
    ]
    before = {"kind": "validation", "iteration": 0, "task": "vqa", "score": 0.99, "seconds": 0.0}
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [before, *lines]))


def test_which_model_was_kept_is_said(run: Path) -> None:
    def sentence() -> str:
        found = read_run(run).kept
        assert found is None or found.sentence in render(read_run(run)).partition("</section>")[0]
        return "" if found is None else found.sentence

    assert sentence() == "Kept: the model of iteration 40, with the best mean validation score of the 5 tasks, 60.0."
    rescored(run, 0.4, 0.5, 0.5, 0.45)
    assert sentence() == "Kept: the model of iteration 20, with the best mean validation score of the 5 tasks, 50.0."
    (run / "trained.json").write_text(json.dumps({"iterations": 40, "kept": dict.fromkeys(fake_run.KINDS, 0.500001)}))
    assert "iteration 20," in sentence()
    (run / "trained.json").write_text(json.dumps({"iterations": 40, "kept": dict.fromkeys(fake_run.KINDS, 0.7)}))
    assert sentence() == ""  # a part of the log is lost
    (run / "trained.json").unlink()
    one(run)
    assert sentence() == "Kept: the model of iteration 20, with the best validation score, 50.0."
    (run / "metrics.jsonl").unlink()
    assert sentence() == ""


def test_few_validation_examples_do_not_select_a_model(run: Path) -> None:
    def sentence(**examples: int) -> str:
        found = read_run(validated(run, **examples)).kept
        assert found is not None and found.sentence in render(read_run(run))
        return found.sentence

    start = "Kept: the model of iteration 40, with the best mean validation score of the 5 tasks, 60.0"
    assert sentence() == sentence(vqa=EXAMPLES) == f"{start}."
    assert sentence(vqa=6) == f"{start} (on as few as 6 validation examples)."
    few = f"{start} (on as few as 6 validation examples)."
    unknown = " So few examples cannot tell which model is best."
    # The last model is kept already.
    assert sentence(**dict.fromkeys(fake_run.KINDS, 9) | {"vqa": 6}) == f"{few}{unknown}"
    warning = f" So few examples cannot tell which model is best{LAST}."
    start = start.replace("iteration 40", "iteration 20")
    few = few.replace("iteration 40", "iteration 20")
    rescored(run, 0.4, 0.6, 0.5, 0.57)  # a single one of the examples of the task with the fewest: 1 / (5 * 6)
    assert sentence() == f"{few}{warning}"
    assert sentence(vqa=EXAMPLES) == f"{start} (on as few as 9 validation examples)."
    rescored(run, 0.4, 0.6, 0.5, 0.56)
    assert sentence(vqa=6) == f"{few}{unknown}"
    rescored(run, 0.4, 0.6, 0.5, 0.43)  # more than five examples
    assert sentence(vqa=6) == few
    one(run)
    one_task = "Kept: the model of iteration 20, with the best validation score, 80.0 (on 5 validation examples)."
    for last, told in ((0.4, unknown), (0.6, warning), (0.8, warning)):
        rescored(run, 0.4, 0.8, 0.6, last)
        assert sentence(vqa=5) == one_task + told
    assert sentence(vqa=1).startswith(one_task.replace("5 validation examples", "1 validation example"))


def test_nothing_advises_to_keep_a_last_model_that_is_clearly_worse(run: Path) -> None:
    """With four examples of five right, and two of five at the end, the last model scored less on the test too."""
    one(validated(run, vqa=5))
    rescored(run, 0.4, 0.8, 0.6, 0.4)
    found = read_run(run).kept
    assert found is not None and "keep_model" not in found.sentence
    assert found.sentence.endswith(" So few examples cannot tell which model is best.")
    configured(run, keep_model="last")
    kept = read_run(run).kept
    assert kept is not None and kept.last and "cannot tell" not in kept.sentence  # it was not chosen by its score


def test_the_last_model_is_kept_where_this_was_asked_for(run: Path) -> None:
    rescored(configured(run, keep_model="last"), 0.4, 0.6, 0.5, 0.45)
    last = "Kept: the model of iteration 40, the last one (training.keep_model=last), with a "
    found = read_run(run).kept
    assert found is not None and found.sentence == f"{last}mean validation score of the 5 tasks of 45.0."
    (run / "trained.json").write_text(json.dumps({"iterations": 40, "kept": dict.fromkeys(fake_run.KINDS, 0.6)}))
    assert read_run(run).kept is None  # another model than the log tells of
    (run / "trained.json").unlink()
    one(validated(run, vqa=6))
    found = read_run(run).kept
    assert found is not None and found.sentence == f"{last}validation score of 45.0 (on 6 validation examples)."
    changed(run, lambda tree: tree["facts"].update(iterations=20))
    step = next_steps(read_run(run), scored(run))[0]
    assert step.why.endswith("40 are done now, and the model of iteration 40 has replaced the measured one.")
    (run / "model").mkdir()
    assert next_steps(read_run(configured(run, iterations=90)), [])[1].why == "The last validated model is saved."


def test_a_run_is_evaluated_again_if_another_model_is_kept(run: Path) -> None:
    changed(run, lambda tree: tree["facts"].update(iterations=20))
    rescored(run, 0.4, 0.5, 0.6, 0.5)
    step = next_steps(read_run(run), scored(run))[0]
    assert (step.title, step.why) == (
        "Evaluate it again",
        "These results were measured after 20 iterations; 40 are done now, and the model of iteration 30, which is "
        "better on the validation images, has replaced the measured one.",
    )
    assert titles(run) == ["Evaluate it again"]  # other steps would follow from the scores of another model
    assert said(run).sentence.startswith("Measured after 20 iterations; the model has changed since. On ")
    configured(run, iterations=90)
    told = "So far: Learned in part. Measured after 20 iterations; the model has changed since. On "
    assert said(run).sentence.startswith(told)
    configured(run, iterations=40)
    (run / "trained.json").write_text(json.dumps({"iterations": 40, "kept": dict.fromkeys(fake_run.KINDS, 0.7)}))
    step = next_steps(read_run(run), scored(run))[0]
    assert step.why == "These results were measured after 20 iterations; 40 are done now."
    assert said(run).sentence.startswith("Measured after 20 iterations; 40 are done now. On ")
    (run / "trained.json").unlink()
    rescored(run, 0.4, 0.5, 0.5, 0.5)
    assert "Evaluate it again" not in titles(run)  # they are of the model that is still kept
    assert "Measured after" not in said(run).sentence


def test_a_run_that_has_converged_is_not_trained_longer(run: Path) -> None:
    lines = [line | ({"score": 0.5} if line["kind"] == "validation" else {}) for line in fake_run.history()]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "Train longer" not in titles(run)


def test_the_rise_at_the_end() -> None:
    assert late_gain([(200, 0.2), (400, 0.3), (600, 0.4), (800, 0.5)], 800) == (pytest.approx(0.2), 0.5)
    assert late_gain([(at, at / 2000) for at in range(100, 1001, 100)], 1000) == (pytest.approx(1 / 6), None)
    assert late_gain([(800, 0.5)], 800) is None and late_gain([(200, 0.5)], 800) is None
    assert late_gain([(10, 0.3), (20, 0.7), (30, 1.0), (40, 1.0)], 40) == (0, 0.5)  # it cannot rise any more
    assert late_gain([(at, at / 1000) for at in range(100, 1001, 100)], 1000) == (0, None)


def test_a_rise_within_the_noise_of_few_validation_examples_is_none(run: Path) -> None:
    """0.9 points of 84 examples are not even one of them."""
    validated(run, **dict.fromkeys(fake_run.KINDS, 84))
    rescored(run, 0.25, 0.25, 0.25, 0.259)
    found = rising(read_run(run))
    assert found is not None and (found.count, found.of) == (0, 4)
    assert "Train longer" not in titles(run) and "rose" not in said(run).sentence
    validated(run, **dict.fromkeys(fake_run.KINDS, 84_000))
    assert "Train longer" in titles(run) and "rose on 4 of 5 tasks" in said(run).sentence
    validated(run, **dict.fromkeys(fake_run.KINDS, 84))
    rescored(run, 0.25, 0.25, 0.25, 0.31)
    assert "Train longer" in titles(run)


def test_no_line_breaks_within_a_number(run: Path) -> None:
    small(run, 40.0, -70.0, train=20, learning_rate=4e-4)
    recorded.write(RunFolder(run).predictions, answered(run, *["no"] * 10))
    page = render(read_run(run))
    assert 'learning rate <span class="whole">4e-4</span>' in page
    assert 'try <span class="whole">1e-4</span> instead of' in page
    assert re.search(r"\.whole \{ white-space: nowrap; \}", page)


def validated(run: Path, **examples: int) -> Path:
    data = json.loads((run / "data.json").read_text())
    for task, count in examples.items():
        data["tasks"][task]["validation"] = count
    (run / "data.json").write_text(json.dumps(data))
    return run


def test_few_validation_examples_tell_nothing_of_a_rise(run: Path) -> None:
    assert EXAMPLES == calibration.FEWEST_EXAMPLES
    found = rising(read_run(validated(run, vqa=EXAMPLES - 1)))
    assert found is not None and (found.count, found.of, found.tasks) == (3, 3, 5)
    assert "; VQA v2 has too few validation examples to tell." in found.sentence
    assert rising(read_run(configured(run, eval_examples=3))) is None
    assert "Train longer" not in titles(run) and "converged" not in said(run).word


def test_every_task_of_a_sentence_on_rising_is_accounted_for() -> None:
    said = (
        "Validation scores still rise on 10 of 12 tasks and no longer on 1; training of A was stopped before the end."
    )
    assert Rising(10, 11, 0.1, ["A"]).sentence == said
    assert Rising(12, 12, 0.1).sentence == "Validation scores still rise on all 12 tasks."
    assert Rising(9, 12, 0.1).sentence == "Validation scores still rise on 9 of 12 tasks."
    assert Rising(1, 1, 0.1).sentence == "The validation score still rises."
    assert Rising(1, 1, 0.1, coarse=0.4).sentence == "The validation score rose over the last 40% of the training."
    assert Rising(3, 4, 0.1, ["A"], coarse=0.5).sentence == (
        "Validation scores rose on 3 of 5 tasks and not on 1 over the last half of the training; training of A was "
        "stopped before the end."
    )
    assert Rising(2, 2, 0.1, (), ["A", "B"], ["C"]).sentence == (
        "Validation scores still rise on 2 of 5 tasks; A and B have too few validation examples to tell; C was "
        "validated too seldom to tell."
    )
    assert "; training of 3 others was stopped" in Rising(2, 2, 0.1, ["A", "B", "C"]).sentence


def one(run: Path) -> None:
    """The run's configuration with one task only: its other results are of tasks that it does not train."""
    tree = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(tree | {"tasks": {"vqa": tree["tasks"]["vqa"]}}, sort_keys=False))


def lines_of(run: Path) -> None:
    """A training file of two lines."""
    line = '{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n'
    Path(read_run(run).config.data, "train.jsonl").write_text(2 * line)


def too_hard(run: Path, lines: int = 75) -> Path:
    """A task of one's own that begins with a saved model, memorises so many lines and is not learned."""
    line = '{"text": "is the ball above the book?", "image": "1.jpg", "target": "yes"}\n'
    Path(read_run(alone(run, 46.7, -20.0)).config.data, "train.jsonl").write_text(lines * line)
    (run / "trained.json").write_text(json.dumps({"on_training_examples": {"mine": 1.0}}))
    tree = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(tree | {"model": {"init": str(BASE)}}, sort_keys=False))
    return run


STATES: dict[str, Callable[[Path], object]] = {
    "evaluated": lambda run: (run / "model").mkdir(),
    "resumable": lambda run: (run / "checkpoints" / "step-0000040").mkdir(parents=True),
    "without baselines": lambda run: changed(
        run, lambda tree: [task.update(baselines={}) for task in tree["tasks"].values()]
    ),
    "drawn": lambda run: changed(run, lambda tree: tree["facts"].update(drawn=True)),
    "good": lambda run: [changed(run, lambda tree: beaten(tree, 55.0, 100.0)), (run / "model").mkdir()],
    "own task": lambda run: alone(run, 90.0, 0.0),
    "own task, flawed": lambda run: flawed(run, {"train.jsonl": 2}),
    "own task, not learned": lambda run: alone(run, 40.0, -70.0),
    "own task, few examples": lambda run: lines_of(alone(run, 40.0, -70.0)),
    "own task, too hard": lambda run: too_hard(run),
    "little data": lambda run: [changed(run, lambda tree: beaten(tree, 21.0, None)), one(run)],
    "not evaluated": lambda run: (run / "evaluation.json").unlink(),
    "unfinished": lambda run: [configured(run, iterations=400), (run / "evaluation.json").unlink()],
    "not begun": lambda run: [(run / name).unlink() for name in ("metrics.jsonl", "evaluation.json")],
}


@pytest.mark.parametrize("state", STATES)
def test_a_step_is_a_sentence_and_a_command(state: str, run: Path) -> None:
    STATES[state](run)
    steps = next_steps(read_run(run), scored(run))
    assert not [step.why for step in steps if re.search(r"[.?!] [A-Z]", step.why) or not step.why.endswith(".")]
    page = render(read_run(run))
    first = page.partition('<ol class="next">')[2].partition("</ol>")[0]
    first = re.sub(r"<details>.*?</details>", "", first, flags=re.S)
    # The whole block is visible, up to the command that gives the new score.
    assert commands(first) == [line for step in steps[:2] for line in step.commands]
    if state == "own task, few examples":
        assert [line.split()[1] for line in steps[0].commands] == ["regions", "train", "evaluate", "report", "evaluate"]
    assert Counter(commands(page)) >= Counter(command for step in steps for command in step.commands)
    assert all(step.details in html.unescape(page) for step in steps)


@pytest.mark.parametrize("state", STATES)
def test_every_command_is_understood(state: str, tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path / "my runs" / "a run", fake_run.make_root(tmp_path / "root", with_images=False))
    STATES[state](folder)
    page = write_report(folder).read_text(encoding="utf-8")
    found = commands(page)
    assert len(found) >= 3
    overview = commands(page.partition('id="overview"')[2].partition("</section>")[0])
    once = [command for command in overview if not command.startswith("twelve regions extract ")]  # first in each step
    assert once and len(set(once)) == len(once)  # nothing else is recommended twice
    for command in found:
        words = shlex.split(command)[1:]
        name = parsed(words)
        if name in ("train", "quickstart"):
            settings = [words[row + 1] for row, word in enumerate(words) if word == "--set"]
            configuration.load(words[1], settings)  # raises ConfigError for a setting that is none


def test_a_command_that_does_not_exist_is_seen(run: Path) -> None:
    page = render(read_run(run)).replace(">evaluate<", ">measure<")
    with pytest.raises(AssertionError, match="no command measure"):
        [parsed(shlex.split(command)[1:]) for command in commands(page)]


def test_wide_intervals_are_told_by_their_ends(run: Path) -> None:
    changed(run, lambda tree: tree["tasks"]["vqa"]["score"].update(low=18.76, high=50.0))
    steps = next_steps(read_run(run), [each for each in scored(run) if each.name in ("vqa", "refcoco")])
    wide = "On 1 of 2 tasks, the 95% interval is more than 10 points wide (widest: VQA v2, 18.8 to 50.0). "
    assert any(wide in step.details for step in steps)  # with a step of the same commands


def test_steps_with_the_same_commands_and_title_keep_their_reasons(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each = [Step("Add test examples", f"Add lines to {name}.", ["twelve evaluate run"]) for name in ("a", "b")]
    monkeypatch.setattr("twelve.report.next_steps._all", lambda *_: [*each, each[0]])
    (step,) = next_steps(read_run(run), scored(run))
    assert (step.why, step.details.strip()) == ("Add lines to a.", "Add test examples: Add lines to b.")


def test_a_task_that_is_not_learned_from_few_examples_needs_more_of_them(run: Path) -> None:
    root = Path(read_run(run).config.data)
    line = '{"text": "is it wet?", "image": "1.jpg", "target": "yes"}'
    (root / "train.jsonl").write_text(f"{line}\n" * 16)
    (root / "test.jsonl").write_text(f"{line}\n")
    changed(alone(run, 40.0, -70.0), lambda tree: tree["tasks"]["mine"].update(score=fake_run.interval(40.0, 20.0)))
    first, second = next_steps(read_run(run), scored(run))[:2]
    assert (first.title, second.title) == ("Add training examples", "Add test examples")
    assert first.why.startswith("Add 50 to 100 ") and ": worse than" in said(run).sentence  # told once
    assert first.why == f"Add 50 to 100 lines to {root / 'train.jsonl'}, which has 16 lines."
    assert first.details.startswith(f"The first line is {line}. Copy images") and "of each answer" in first.details
    # The score of 40 is not in the middle.
    changed(run, lambda tree: tree["tasks"]["mine"]["score"].update(low=18.76, high=50.0))
    second = next_steps(read_run(run), scored(run))[1]
    assert second.why == f"The 95% interval is 18.8 to 50.0: add about 30 lines to {root / 'test.jsonl'}."
    assert second.details.startswith("Other scores in this range may differ by chance alone. Four times as many ")
    copied = f"Copy images that are new into {root / 'images' / 'mine'}"
    assert f"The first line is {line}. {copied}; the first command extracts their regions." in second.details
    extract, train, evaluate, report, compare = first.commands
    assert extract.startswith("twelve regions extract ") and second.commands[0] == extract
    assert second.commands[1:] == [f"twelve evaluate {run}", f"twelve report {run}"]
    assert train == f"twelve train {run / 'config.yaml'} --set training.iterations=200 --set run={run}-2"
    assert (evaluate, report) == (f"twelve evaluate {run}-2", f"twelve report {run}-2")
    assert compare == f"twelve evaluate {run}-2 --split train.jsonl"
    (root / "train.jsonl").unlink()
    data = json.loads((run / "data.json").read_text())
    data["tasks"]["mine"] = {"train": 9, "validation": 3}
    (run / "data.json").write_text(json.dumps(data))
    first = next_steps(read_run(run), scored(run))[0]
    assert first.why.endswith("which has 12 lines.") and first.details.startswith("Copy images that are new into")
    (root / "train.jsonl").write_text(f"{line}\n" * FEW_LINES)
    assert titles(run)[:2] == ["Check the data of mine", "Add test examples"]
    del data["tasks"]["mine"]
    (run / "data.json").write_text(json.dumps(data))
    (root / "train.jsonl").unlink()
    assert titles(run)[0] == "Check the data of mine"  # of how many examples is not known


def test_examples_that_were_added_in_vain_are_not_asked_for_again(run: Path) -> None:
    """A reader who followed the advice to add 50 to 100 lines to 15 reads of another cause, not in closed details."""
    first = next_steps(read_run(too_hard(run)), scored(run))[0]
    assert first.title == "Change the question or the base model"
    assert first.why == (
        "The model has memorised its training examples (it scores 100.0 on them, 46.7 on the test examples); with 75 "
        "lines, more may not help: the question may be too hard for this model; ask the base model what it sees, and "
        "try another base model or another question (docs/tutorial.md, “If it is still at chance”)."
    )
    check, ask = first.commands
    images = Path(read_run(run).config.data, "images", "mine")
    assert check.startswith("twelve data check ")
    assert ask == f"twelve predict {BASE} --image {images} --ask 'is there a NAME?'"
    assert "instead of NAME" in str(first.details)
    page = html.unescape(render(read_run(run)))
    opened = re.sub("<details>.*?</details>", "", page, flags=re.S)
    assert "the question may be too hard for this model" in opened and "Add training examples" not in page
    tutorial = (BASE.parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
    assert "### If it is still at chance\n" in tutorial
    assert titles(too_hard(run, lines=FEW_LINES - 1))[0] == "Add training examples"
    too_hard(run)
    (run / "trained.json").write_text(json.dumps({"on_training_examples": {"mine": 0.7}}))
    assert "Add training examples" not in titles(run) and titles(run)[0] == "Check the data of mine"
    too_hard(run)
    alone(run, 90.0, 10.0)
    assert "Change the question or the base model" not in titles(run)


def test_only_a_base_model_that_can_tell_is_asked(run: Path, tmp_path: Path) -> None:
    tree = yaml.safe_load((too_hard(run) / "config.yaml").read_text())
    shutil.copytree(BASE, tmp_path / "base")
    fields = json.loads((BASE / CONFIG_FILE).read_text())
    imported = fields | {"region_recipes": {}}
    answers = {"task_outputs": {name: kind.replace("answer", "pair") for name, kind in fields["task_outputs"].items()}}
    for init, processor in ((tmp_path / "base", imported), (tmp_path / "base", fields | answers), (None, fields)):
        (tmp_path / "base" / CONFIG_FILE).write_text(json.dumps(processor))
        model = {"init": None if init is None else str(init)}
        (run / "config.yaml").write_text(yaml.safe_dump(tree | {"model": model}, sort_keys=False))
        first = next_steps(read_run(run), scored(run))[0]
        assert [line.split()[1] for line in first.commands] == ["data"]
        assert "ask the base model" not in first.why
        assert first.title.endswith("the model" if init is None else "the base model")
        assert ("base model" in first.why + first.details) == (init is not None)


def small(run: Path, score: float, lowest: float, train: int = 83, **settings: object) -> Path:
    """The run with one task of its own, with so many training examples and these settings."""
    tree = yaml.safe_load((alone(run, score, lowest) / "config.yaml").read_text())
    tree["tasks"]["mine"] |= {"batch_size": 5} | settings
    (run / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(data | {"tasks": {"mine": {"train": train, "validation": 20}}}))
    return run


def flawed(run: Path, contradicted: dict[str, int]) -> Path:
    """A task of one's own whose test file has an answer that the model does not know, and lines that contradict."""
    found = {
        "unanswerable": ["the model cannot give the answer to 1 of 10 questions of test.jsonl: maybe (1)"],
        "contradicted": contradicted,
        "upper_bound": 80.0,
    }
    return changed(small(run, 60.0, 5.0, train=20), lambda tree: tree["tasks"]["mine"].update(found))


def test_lines_made_from_a_table_are_corrected_in_the_table(run: Path) -> None:
    root = Path(read_run(flawed(run, {"test.jsonl": 1})).config.data)
    for name in ("test.jsonl", "train.jsonl"):
        (root / name).write_text('{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n' * 20)
    command = ["twelve", "data", "table", "my boats.csv", "--out", str(root), "--update"]
    table_origin.write(root, command, {"test.jsonl": "my boats.csv", "train.jsonl": "my boats.csv"})
    first = next_steps(read_run(run), scored(run))[0]
    assert first.why.endswith(
        "correct these lines in my boats.csv, or add examples with the missing answers to my boats.csv."
    )
    assert first.commands[0] == f"twelve data table 'my boats.csv' --out {root} --update"
    with (root / "test.jsonl").open("a") as stream:  # edited itself, it is to be corrected itself
        stream.write(" ")
    step = next_steps(read_run(run), scored(run))[0]
    edited = f"{root / 'test.jsonl'}, or add examples with the missing answers to {root / 'train.jsonl'}"
    assert f"correct these lines in {edited}" in step.why  # the table cannot be converted over it
    assert step.commands[0].startswith("twelve regions extract ")


def tabled(run: Path, *options: str, test: str = "own.csv", lines: int = 20) -> list[str]:
    """Files that a table was converted to, and the commands that convert it again and extract regions."""
    root = Path(read_run(run).config.data)
    (root / table_origin.FILE).unlink(missing_ok=True)
    for name in ("test.jsonl", "train.jsonl"):
        (root / name).write_text('{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n' * lines)
    command = ["twelve", "data", "table", "own.csv", "--images", "photos", *options, "--update"]
    table_origin.write(root, command, {"train.jsonl": "own.csv", "test.jsonl": test})
    return [shlex.join(command), "twelve regions extract "]


@pytest.mark.parametrize(
    ("share", "rows", "which"),
    [((), "100 to 200", "about half"), (("--test-fraction", "0.2"), "62 to 125", "about 20%")],
)
def test_examples_of_a_table_are_added_to_the_table(run: Path, share: tuple[str, ...], rows: str, which: str) -> None:
    """Lines that are added to the converted files would keep the table from being converted again."""
    changed(alone(run, 40.0, -70.0), lambda tree: tree["tasks"]["mine"].update(score=fake_run.interval(40.0, 20.0)))
    convert, extract = tabled(run, *share)
    train = Path(read_run(run).config.data, "train.jsonl")
    step, *others = next_steps(read_run(run), scored(run))
    where = f"own.csv and their images to photos, of which {which} will be used for testing"
    assert (step.title, step.why) == (
        "Add training and test examples",
        f"Add {rows} rows to {where}; {train} has 20 lines.",
    )
    copied = "Copy images that are new into photos; the first 2 commands convert the table and extract their regions."
    assert step.details.startswith(copied) and "The first line is" not in step.details
    assert step.commands[0] == convert and step.commands[1].startswith(extract)
    assert step.commands[2].endswith(f" --set run={run}-2")
    # The same rows serve both: they would be added, and trained on, twice.
    assert "Add test examples" not in [each.title for each in others]
    assert "train again" not in step.details and " The 95% interval is 20.0 to 60.0. " in step.details
    more = f"rows to {where}; the others become training images, so the commands train again."
    assert step.details.count("Copy images") == 1  # not again for the test examples
    tabled(run, *share, lines=FEW_LEARNED)  # enough to train on, but converting the table adds to them
    step = next(each for each in next_steps(read_run(run), scored(run)) if each.title == "Add test examples")
    assert step.commands[2].endswith(f" --set run={run}-2") and step.why.endswith(more)


def test_examples_of_two_tables_are_added_to_either(run: Path) -> None:
    changed(alone(run, 40.0, -70.0), lambda tree: tree["tasks"]["mine"].update(score=fake_run.interval(40.0, 20.0)))
    convert, extract = tabled(run, "--test", "test.csv", test="test.csv")
    train, test = next_steps(read_run(run), scored(run))[:2]
    file = Path(read_run(run).config.data, "train.jsonl")
    assert train.why == f"Add 50 to 100 rows to own.csv and their images to photos; {file} has 20 lines."
    assert test.why == "The 95% interval is 20.0 to 60.0: add about 30 rows to test.csv and their images to photos."
    for step, then in ((train, "twelve train "), (test, "twelve evaluate ")):
        assert step.commands[0] == convert and step.commands[1].startswith(extract)
        assert step.commands[2].startswith(then)


def test_both_files_are_corrected_in_one_step(run: Path) -> None:
    """A reader of two steps would train twice, into two folders."""
    warnings = {"train_warnings": ["a doubtful line"], "test_warnings": ["a repeated line", "a second", "a third"]}
    changed(flawed(run, {}), lambda tree: tree["tasks"]["mine"].update(warnings))
    convert, extract = tabled(run)
    step, *others = next_steps(read_run(run), scored(run))
    assert step.title == "Correct the training file and the test file"
    assert step.why.endswith(
        "; the best possible score is at most 80.0; a repeated line; a second; a doubtful line. Correct these lines in "
        "own.csv, or add examples with the missing answers to own.csv."
    )
    assert step.details.startswith("Copy images that are new into photos; the first 2 commands convert the table and ")
    assert step.details.endswith("`twelve data check` also says: a third.")
    assert step.commands[0] == convert and step.commands[1].startswith(extract)
    assert [line.split()[1] for line in step.commands[2:]] == ["data", "train", "evaluate", "report"]
    assert step.commands[3].endswith(f" --set run={run}-retrained")
    assert not [each.title for each in others if each.title.startswith("Correct")]
    changed(run, lambda tree: tree["tasks"]["mine"].update(train_warnings=[]))
    assert titles(run)[0] == "Correct the lines that no model can answer"
    changed(run, lambda tree: tree["tasks"]["mine"].update(unanswerable=[], upper_bound=None))
    step = next_steps(read_run(run), scored(run))[0]
    assert step.title == "Correct the test file" and step.why.startswith("A repeated line; a second. Look at these ")
    assert step.commands[-2:] == [f"twelve evaluate {run}", f"twelve report {run}"]  # what was learned stays


def test_what_no_model_can_answer_is_corrected_before_examples_are_added(run: Path) -> None:
    root = Path(read_run(flawed(run, {"test.jsonl": 1})).config.data)
    check, train = root / "test.jsonl", root / "train.jsonl"
    train.write_text('{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n' * 20)
    first, second = next_steps(read_run(run), scored(run))[:2]
    lacking = "The model cannot give the answer to 1 of 10 questions of test.jsonl: maybe (1)"
    assert first.why == (
        f"{lacking}; 1 question has different answers in test.jsonl; the best possible score is at most 80.0: correct "
        f"these lines in {check}, or add examples with the missing answers to {train}."
    )
    assert "evaluate this run again instead of training. Add at least 9 of each answer" in first.details
    checked = f"twelve data check {root} --config {run / 'config.yaml'}"
    again = [
        f"twelve train {run / 'config.yaml'} --set run={run}-retrained",
        f"twelve evaluate {run}-retrained",
        f"twelve report {run}-retrained",
    ]
    assert first.commands[0].startswith("twelve regions extract ") and first.commands[1:] == [checked, *again]
    assert second.title == "Add training examples"
    changed(run, lambda tree: tree["tasks"]["mine"].update(unanswerable=[]))
    first = next_steps(read_run(run), scored(run))[0]
    assert first.why.endswith(
        f"in test.jsonl; the best possible score is at most 80.0: correct these lines in {check}."
    )
    assert first.commands == [checked, f"twelve evaluate {run}", f"twelve report {run}"]
    changed(run, lambda tree: tree["tasks"]["mine"].update(contradicted={"train.jsonl": 2}))
    first = next_steps(read_run(run), scored(run))[0]
    assert first.why.startswith("2 questions have different answers in train.jsonl; ")
    assert first.why.endswith(f" in {train}.") and first.commands == [checked, *again]
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["tasks"]["vqa"] = {"test_split": "val"}
    (run / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    assert " --set 'tasks=[mine]' " in next_steps(read_run(run), scored(run))[0].commands[1]
    changed(run, lambda tree: tree["tasks"]["mine"].update(contradicted={}))
    assert "Correct the lines that no model can answer" not in titles(run)


def test_what_may_be_wrong_in_the_training_file_comes_before_more_examples(run: Path) -> None:
    root = Path(read_run(small(run, 76.0, 10.0, train=20)).config.data)
    (root / "train.jsonl").write_text('{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n' * 20)
    before = titles(run)
    assert before[0] != "Correct the training file"
    warnings = ["answer 'No' (1 time) differs from 'no' (9 times) only in case or spaces", "a second", "a third"]
    changed(run, lambda tree: tree["tasks"]["mine"].update(train_warnings=warnings))
    step, *others = next_steps(read_run(run), scored(run))
    assert [step.title, *(each.title for each in others)] == ["Correct the training file", *before]
    named = root / "train.jsonl"
    rest = f"; a second. Look at these lines of {named}, and correct what is wrong."
    assert step.why == f"A{warnings[0][1:]}{rest}"
    assert step.details == "`twelve data check` also says: a third."
    assert step.commands == [
        f"twelve data check {root} --config {run / 'config.yaml'}",
        f"twelve train {run / 'config.yaml'} --set run={run}-retrained",
        f"twelve evaluate {run}-retrained",
        f"twelve report {run}-retrained",
    ]
    table_origin.write(root, convert := ["twelve", "data", "table", "b.csv", "--update"], {"train.jsonl": "b.csv"})
    step, *_ = next_steps(read_run(run), scored(run))
    assert step.why.endswith(" Look at these lines of b.csv, and correct what is wrong.")
    assert step.commands[0] == shlex.join(convert)
    changed(run, lambda tree: tree["tasks"]["mine"]["score"].update(mean=95.1))
    assert "Correct the training file" not in titles(run)


@pytest.mark.parametrize(
    ("examples", "right", "told"),
    [
        (254, 0.94, "16 points too low"),
        (254, 0.58, "20 points too high"),
        (254, 0.70, ""),
        (49, 0.99, ""),  # too few to judge
        (60, 0.67, ""),  # within chance
    ],
)
def test_calibrated_confidence_that_is_far_off_is_said_beside_the_score(
    run: Path, examples: int, right: float, told: str
) -> None:
    bins = [{"examples": examples, "score": 0.78, "right": right}]
    changed(small(run, 76.0, 10.0), lambda tree: tree["tasks"]["mine"].update(calibration=bins, uncalibrated=""))
    sentence = f"On the test examples, its mean confidence is {told}."
    assert (sentence in said(run).sentence) == bool(told) == ("mean confidence" in said(run).sentence)
    changed(run, lambda tree: tree["tasks"]["mine"].update(uncalibrated="not calibrated"))
    assert "mean confidence" not in said(run).sentence


def test_what_is_left_to_gain_ends_at_the_best_possible_score(run: Path) -> None:
    root = Path(read_run(small(run, 76.0, 10.0, train=20)).config.data)
    (root / "train.jsonl").write_text('{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n' * 20)
    (run / "trained.json").write_text(json.dumps({"on_training_examples": {"mine": 0.95}}))

    def bounded(bound: float | None) -> str:
        changed(run, lambda tree: tree["tasks"]["mine"].update(upper_bound=bound))
        return "".join(
            step.why for step in next_steps(read_run(run), scored(run)) if step.title == "Add training examples"
        )

    assert "has memorised" in bounded(None) and "has memorised" in bounded(92.0)
    assert "If a score of 76.0 (of 90.0 at most) is not enough, more training examples may raise it" in bounded(
        90.0
    )  # not 15 below 90
    assert bounded(81.0) == "" and bounded(81.1)


def test_a_test_file_on_which_no_model_can_beat_a_guess_says_nothing_of_training(run: Path) -> None:
    small(run, 48.0, -10.0)
    assert said(run).word == "Not learned so far" and "Lower the learning rate" not in titles(run)
    assert titles(run)[0] == "Train longer"
    found = {"upper_bound": 52.5, "contradicted": {"test.jsonl": 5}}
    changed(run, lambda tree: tree["tasks"]["mine"].update(found))
    verdict = said(run)
    assert (verdict.word, verdict.good) == ("These test examples cannot tell", None)
    assert verdict.sentence.endswith(" No model can score more than 52.5 on these examples.")
    assert titles(run)[0] == "Correct the lines that no model can answer"
    assert not {"Train longer", "Lower the learning rate", "Add training examples", "Check the data of mine"} & {
        *titles(run)
    }
    changed(run, lambda tree: tree["tasks"]["mine"].update(upper_bound=55.1))
    assert said(run).word == "Not learned so far"


def test_results_of_files_that_have_changed_are_measured_again(run: Path) -> None:
    """Other steps would follow from scores of other examples."""
    root = Path(read_run(alone(run, 90.0, 20.0)).config.data)
    (root / "test.jsonl").write_text("{}\n")
    digest = hashlib.sha256(b"{}\n").hexdigest()
    changed(run, lambda tree: tree["tasks"]["mine"].update(files={"test.jsonl": digest}))
    assert "Evaluate it again" not in titles(run) and "changed" not in said(run).sentence
    (root / "test.jsonl").write_text("{} \n")
    (step,) = next_steps(read_run(run), scored(run))
    assert (step.title, step.why) == ("Evaluate it again", "test.jsonl has changed since the evaluation.")
    assert step.commands == [f"twelve evaluate {run}", f"twelve report {run}"]
    assert said(run).sentence.startswith("Measured before test.jsonl changed. The model scores 90.0")
    changed(run, lambda tree: tree["facts"].update(iterations=20))
    (step,) = next_steps(read_run(run), scored(run))
    assert step.why.startswith("These results were measured after 20 iterations") and "test.jsonl" in step.details


def test_images_that_were_added_without_regions_are_extracted_before_the_evaluation_and_the_training(run: Path) -> None:
    root = Path(read_run(small(run, 76.0, 10.0, train=20)).config.data)
    tiny.write_regions(Path(read_run(run).config.regions_folder), {"mine/1": 0})
    line = '{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n'
    for file in ("train.jsonl", "test.jsonl"):
        (root / file).write_text(2 * line)
    data = json.loads((run / "data.json").read_text())
    files = {"train.jsonl": {"sha256": checksum(root / "train.jsonl")}}
    own = own_tasks(read_run(run).config.tasks)
    known = taught(own, DataRoot(root, own_tasks=own))
    (run / "data.json").write_text(json.dumps(data | {"taught": known, "files": files}))
    changed(run, lambda tree: tree["tasks"]["mine"].update(files={"test.jsonl": checksum(root / "test.jsonl")}))
    new = line.replace("1.jpg", "2.jpg")
    (root / "test.jsonl").write_text(3 * line)  # of an image that has regions
    (step,) = next_steps(read_run(run), scored(run))
    assert [command.split()[1] for command in step.commands] == ["evaluate", "report"]
    (root / "test.jsonl").write_text(2 * line + new)
    (step,) = next_steps(read_run(run), scored(run))
    assert step.title == "Evaluate it again"
    assert step.commands[0].startswith(f"twelve regions extract --images {root / 'images' / 'mine'} ")
    assert [command.split()[1] for command in step.commands] == ["regions", "evaluate", "report"]
    (root / "train.jsonl").write_text(line + new)
    (step,) = next_steps(read_run(run), scored(run))
    assert step.title == "Train again"
    assert [command.split()[1] for command in step.commands] == ["regions", "train", "evaluate", "report"]
    (root / "train.jsonl").write_text("not an example\n")  # which the next command says
    assert [each.title for each in next_steps(read_run(run), scored(run))] == ["Train again"]


def test_a_run_whose_training_file_has_changed_is_trained_again_first(run: Path) -> None:
    """Other steps would follow from numbers about other training examples, whether it was evaluated since or not."""
    root = Path(read_run(small(run, 76.0, 10.0, train=20)).config.data)
    lines = ['{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n'] * 20
    (root / "train.jsonl").write_text("".join(lines))
    (root / "test.jsonl").write_text("{}\n")
    tiny.write_regions(Path(read_run(run).config.regions_folder), {"mine/1": 0})
    (run / "trained.json").write_text(json.dumps({"on_training_examples": {"mine": 0.95}}))

    def learned() -> None:
        """The run has learned from the files as they are now."""
        config, data = read_run(run).config, json.loads((run / "data.json").read_text())
        own = own_tasks(config.tasks)
        data |= {"taught": taught(own, DataRoot(root, own_tasks=own))}
        data |= {"files": {"train.jsonl": {"sha256": checksum(root / "train.jsonl")}}}
        (run / "data.json").write_text(json.dumps(data))
        now = {"test.jsonl": checksum(root / "test.jsonl")}
        changed(run, lambda tree: tree["tasks"]["mine"].update(files=now))

    learned()
    before = titles(run)
    assert before[0] == "Add training examples" and "changed" not in said(run).sentence
    (root / "train.jsonl").write_text("".join([*lines[1:], lines[0].replace("yes", "no")]))
    (step,) = next_steps(read_run(run), scored(run))
    assert (step.title, step.why, step.details) == ("Train again", "train.jsonl has changed since training.", "")
    assert step.commands == [
        f"twelve train {run / 'config.yaml'} --set run={run}-retrained",
        f"twelve evaluate {run}-retrained",
        f"twelve report {run}-retrained",
    ]
    assert said(run).sentence.startswith("Trained before train.jsonl changed. The model scores 76.0")
    (root / "test.jsonl").write_text("{} \n")
    (step,) = next_steps(read_run(run), scored(run))
    assert (step.title, step.details) == ("Train again", "test.jsonl has changed since the evaluation.")
    (root / "train.jsonl").write_text("not an example\n")
    assert titles(run) == ["Train again"]
    (root / "train.jsonl").write_text("".join(lines))
    learned()
    assert titles(run) == before
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["tasks"]["vqa"] = {"test_split": "val"}
    (run / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    (root / "train.jsonl").write_text("".join(lines[1:]))
    step, *others = next_steps(read_run(run), scored(run))
    assert step.title == "Train again" and " --set 'tasks=[mine]' " in step.commands[0]
    assert others and "Add training examples" not in [each.title for each in others]  # of the task that did not change


def test_a_test_file_that_is_gone_is_put_back_first(run: Path) -> None:
    """Without it, no step could be followed to its end; a data root that is elsewhere now says nothing."""
    root = Path(read_run(alone(run, 90.0, 20.0)).config.data)
    changed(run, lambda tree: tree["tasks"]["mine"].update(files={"test.jsonl": "0" * 64}))
    (step,) = next_steps(read_run(run), scored(run))
    assert step.title == "Put back the test file"
    assert step.why == f"{root / 'test.jsonl'} is no longer there: put it back, then check and evaluate again."
    checked = f"twelve data check {root} --config {run / 'config.yaml'}"
    assert step.commands == [checked, f"twelve evaluate {run}", f"twelve report {run}"]
    assert said(run).sentence.startswith("Measured on test.jsonl, which is no longer there. The model scores 90.0")
    root.rename(root.with_name("moved"))
    assert not read_run(run).gone


def test_an_evaluation_that_was_edited_is_refused_in_words(run: Path) -> None:
    changed(run, lambda tree: tree["tasks"]["vqa"].update(files=[]))
    with pytest.raises(
        DataError,
        match=r"evaluation\.json \[vqa\]: files: expected a mapping of keys to values, found \[\] -> .*evaluate",
    ):
        read_run(run)


def test_regions_that_have_changed_are_said_and_the_commands_evaluate_them(run: Path) -> None:
    alone(run, 90.0, 20.0)
    recorded.write(RunFolder(run).predictions, [replace(fake_run.predictions()[0], task="mine", images=("own/1",))])
    store, names = Path(read_run(run).config.regions_folder), ("own", "train_only")
    tiny.write_regions(store, {f"{name}/1": 0 for name in names})
    samples = {image: one for name in names for image, one in sampled(RegionStore(store), name).items()}
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(data | {"region_samples": samples}))
    before = titles(run)
    tiny.write_regions(store, {f"{name}/1": 1 for name in names})
    (step,) = next_steps(read_run(run), scored(run))
    assert (step.title, step.why) == ("Evaluate it again", "The regions of own have changed since the evaluation.")
    assert step.commands == [f"twelve evaluate {run} --allow-changed-data", f"twelve report {run}"]
    assert "allow_changed_data=True" in in_program(step).commands[0]
    assert said(run).sentence.startswith("Measured before the regions of own changed. The model scores 90.0")
    changed(run, lambda tree: tree["facts"].update(changed_regions={"own": "others"}))  # it was evaluated with them
    assert titles(run) == before and "Measured before" not in said(run).sentence
    changed(run, lambda tree: tree["facts"].pop("changed_regions"))
    shutil.copytree(BASE, run / "model", dirs_exist_ok=True)  # of another extractor, so they have to be made again
    (step,) = next_steps(read_run(run), scored(run))
    assert [line.split()[:3] for line in step.commands[:2]] == [
        ["mv", f"{store}/own", f"{store}-own-before"],
        ["twelve", "regions", "extract"],
    ]
    assert step.commands[2:] == [f"twelve evaluate {run}", f"twelve report {run}"]


def test_texts_that_are_cut_are_read_whole_before_examples_are_added(run: Path) -> None:
    """The part that is cut may decide the answer, which no further examples bring back."""
    small(run, 40.0, -70.0, train=20)
    (run / "model").mkdir(exist_ok=True)
    (run / "model" / "config.json").write_text('{"max_position_embeddings": 64}')

    def cut(*, test: int, training: int, longest: int = 46, limit: int = 30) -> list[Step]:
        one = {"texts": 20, "cut": test, "longest": longest, "limit": limit}
        changed(run, lambda tree: tree["tasks"]["mine"].update(cut=one if test else None))
        data = json.loads((run / "data.json").read_text())
        data["tasks"]["mine"] |= {"cut": {"texts": 400, "cut": training, "longest": 31, "limit": limit}}
        (run / "data.json").write_text(json.dumps(data))
        return next_steps(read_run(run), scored(run))

    first, second = cut(test=20, training=4)[:2]
    assert (first.title, second.title) == ("Let the model read whole texts", "Add training examples")
    longest = "are cut: the longest has {} word pieces with [CLS] and [SEP], max_text is 30."
    assert first.why == (
        f"20 of 20 test texts (100%) {longest.format(46)} 4 of 400 training texts (1.0%) {longest.format(31)} The "
        "part that is not read may decide the answer."
    )
    assert first.commands[0].endswith(f"--set tasks.mine.max_text=46 --set run={run}-whole-texts")
    assert first.details == ""
    capped = cut(test=20, training=4, longest=99)[0]
    assert "tasks.mine.max_text=99 --set model.architecture.max_position_embeddings=99" in capped.commands[0]
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["model"] = {"init": str(run)}  # whose positions are fixed
    (run / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    capped = cut(test=20, training=4, longest=99)[0]
    assert "tasks.mine.max_text=64 --set run" in capped.commands[0] and capped.details.startswith("Shorten texts")
    first = cut(test=20, training=0, longest=99, limit=64)[0]
    assert first.title == "Shorten the texts" and first.why.endswith("the model reads at most 64.")
    assert "data check" in first.commands[0]
    assert cut(test=0, training=3)[0].title == "Add training examples"  # 3 of 400
    changed(run, lambda tree: tree["tasks"]["mine"].update(score=fake_run.interval(97.0)))
    changed(run, lambda tree: tree["tasks"]["mine"]["baselines"].clear())
    assert "whole" not in " ".join(step.title for step in cut(test=20, training=4))


def test_a_task_that_is_not_learned_in_few_epochs_is_trained_longer_first(run: Path) -> None:
    first = next_steps(read_run(small(run, 40.0, -70.0)), scored(run))[0]
    assert first.title == "Train longer" and titles(run).count("Train longer") == 1
    assert first.why == (
        "40 iterations of 5 are only 2.4 epochs of the 83 training examples; 420 are 25 epochs, in about 14 min."
    )
    train, evaluate, report = first.commands
    assert train == f"twelve train {run / 'config.yaml'} --set training.iterations=420 --set run={run}-longer"
    assert (evaluate, report) == (f"twelve evaluate {run}-longer", f"twelve report {run}-longer")
    assert "Train longer" not in titles(small(run, 40.0, -70.0, train=20))  # 10 epochs
    (run / "data.json").unlink()
    assert "Train longer" not in titles(run)  # of how many examples is not known


def of_mine(run: Path, *scores: float) -> None:
    """A log in which the task of one's own has these validation scores, in iterations 10, 20, ..."""
    rescored(run, *scores)
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text.replace('"task": "refcoco"', '"task": "mine"'))


def test_a_score_that_falls_back_calls_for_a_lower_learning_rate(run: Path) -> None:
    small(run, 40.0, -70.0, train=20, learning_rate=4e-4)
    assert titles(run)[0] == "Add training examples"
    of_mine(run, 0.4, 0.8, 0.6, 0.5)  # 16 and 10 of 20 examples: chance may explain it
    assert "Lower the learning rate" not in titles(run)
    of_mine(run, 0.4, 0.8, 0.6, 0.3)
    first = next_steps(read_run(run), scored(run))[0]
    assert first.title == "Lower the learning rate"
    assert first.why == "The validation score fell from 80.0, its best, to 30.0 at the end: try 1e-4 instead of 4e-4."
    chosen = f"--set tasks.mine.learning_rate=1e-4 --set run={run}-slower"
    assert first.commands[0] == f"twelve train {run / 'config.yaml'} {chosen}"
    (run / "trained.json").write_text(json.dumps({"on_training_examples": {"mine": 1.0}}))
    assert titles(run)[0] == "Add training examples" and "Lower the learning rate" not in titles(run)  # memorised
    assert next_steps(read_run(run), scored(run))[0].why.startswith("The model has memorised its training ")
    (run / "trained.json").unlink()
    of_mine(run, 0.4, 0.55, 0.5, 0.5)  # a single example of 20
    assert "Lower the learning rate" not in titles(run)
    recorded.write(RunFolder(run).predictions, answered(run, *["no"] * 10))
    first = next_steps(read_run(run), scored(run))[0]
    assert first.title == "Lower the learning rate" and first.why.startswith("A model that gives the same answer to ")
    small(run, 40.0, -70.0, train=83, learning_rate=4e-4)
    recorded.write(RunFolder(run).predictions, answered(run, *["no"] * 10))
    assert titles(run)[:2] == ["Train longer", "Lower the learning rate"]
    slower = next_steps(read_run(run), scored(run))[1]
    assert slower.why.endswith(" try 1e-4 instead of 4e-4, with as many iterations as above.")
    assert "learning_rate=1e-4 --set training.iterations=420 --set run=" in slower.commands[0]
    small(run, 40.0, -70.0, train=20)
    recorded.write(RunFolder(run).predictions, answered(run, *["no"] * 10))
    assert "Lower the learning rate" not in titles(run)  # than the default


@pytest.mark.parametrize("state", ["own task, few examples", "own task", "little data", "drawn"])
def test_of_a_run_named_from_here_every_path_is_from_here(
    run: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    STATES[state](run)
    monkeypatch.chdir(run.parent)
    page = render(read_run(Path("run")))
    screen = html.unescape(page.partition('id="overview"')[2].partition("</section>")[0])
    note = f"Paths are relative to <code>{run.parent}</code>."
    assert note in screen and str(run.parent) not in screen.replace(note, "")
    steps = next_steps(read_run(Path("run")), scored(Path("run")))
    monkeypatch.chdir(run)
    away = str(next_steps(read_run(Path("..", "run")), scored(Path("..", "run"))))
    if state == "own task, few examples":
        assert any("regions extract --images root/" in command for step in steps for command in step.commands)
        assert any("to root/train.jsonl, which has" in step.why for step in steps)
        assert f"to {run.parent / 'root' / 'train.jsonl'}, which has" in away  # not in the current folder
    assert next_steps(read_run(Path()), scored(Path()))  # the current folder, which has no name
    monkeypatch.chdir(run.parent)
    assert next_steps(read_run(run), scored(run)) == steps  # as it is below the current folder
    monkeypatch.chdir(run)
    absolute = str(next_steps(read_run(run), scored(run)))
    assert "config.yaml" not in absolute or f"{run}/config.yaml" in absolute


def test_an_option_of_a_command_is_not_divided_from_its_value(run: Path) -> None:
    page = render(read_run(run))
    words = re.findall(r'<span class="word">(?:<span class="word">[^<]*</span> ?)+</span>', page)
    shown = [re.sub("<[^>]*>", "", word) for word in words]
    assert any(re.fullmatch("--set [^ ]+=[^ ]+", option) for option in shown)
    assert not [option for option in shown if option.count("--") > 1 or option == "--set"]


def test_a_folder_beside_another_is_named_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sibling(Path("runs", "a"), "longer") == Path("runs", "a-longer")
    assert sibling(Path(), "longer") == tmp_path.parent / f"{tmp_path.name}-longer"
    assert sibling(Path(".."), "longer") == tmp_path.parent.parent / f"{tmp_path.parent.name}-longer"


def test_of_few_training_examples_more_are_added_before_test_examples(run: Path) -> None:
    line = '{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n'
    root = Path(read_run(run).config.data)
    (root / "train.jsonl").write_text(15 * line)
    (root / "test.jsonl").write_text(line)
    alone(run, 70.0, 0.0)
    changed(run, lambda tree: tree["tasks"]["mine"]["score"].update(low=50.0, high=90.0))
    assert said(run).word == "Undecided"
    assert titles(run)[:2] == ["Add training examples", "Add test examples"] and "Train longer" not in titles(run)
    first = next_steps(read_run(run), scored(run))[0]
    assert first.why.startswith(
        "If a score of 70.0 is not enough, more training examples may raise it: add 50 to 100 lines"
    )
    (run / "trained.json").write_text(json.dumps({"on_training_examples": {"mine": 0.8}}))
    longer, first = next_steps(read_run(run), scored(run))[:2]
    assert titles(run)[:3] == ["Train longer", "Add training examples", "Add test examples"]
    assert titles(run).count("Add test examples") == titles(run).count("Train longer") == 1
    assert longer.why == "The model scores only 80.0 on its own training examples: it has not learned them yet."
    assert longer.details == "Twice the training needs no new examples and takes about 3 min."
    assert longer.commands == [
        f"twelve train {run / 'config.yaml'} --set training.iterations=80 --set run={run}-longer",
        f"twelve evaluate {run}-longer",
        f"twelve report {run}-longer",
    ]
    assert first.why.startswith(
        "If that does not raise the score of 70.0 enough, more examples may: add 50 to 100 lines"
    )
    assert first.commands[1].endswith(f" --set training.iterations=200 --set run={run}-2")
    (run / "trained.json").write_text(json.dumps({"on_training_examples": {"mine": 0.95}}))
    (root / "train.jsonl").write_text(120 * line)
    first = next_steps(read_run(run), scored(run))[0]
    assert first.title == "Add training examples" and "(it scores 95.0 on them, 70.0 on the test exa" in first.why
    assert ": add about 120 lines" in first.why
    (root / "train.jsonl").write_text(FEW_LEARNED * line)
    assert titles(run)[0] == "Add test examples"
    (root / "train.jsonl").write_text(15 * line)
    changed(alone(run, 95.0, 10.0), lambda tree: tree["tasks"]["mine"]["score"].update(low=80.0))
    assert titles(run)[0] == "Add test examples"  # hardly any is wrong


def test_whether_longer_training_or_more_examples_come_first_follows_from_the_evidence(run: Path) -> None:
    small(run, 86.0, 10.0, train=50)
    Path(read_run(run).config.data, "train.jsonl").write_text(
        80 * '{"text": "wet?", "image": "1.jpg", "target": "no"}\n'
    )

    def told(known: float) -> list[str]:
        (run / "trained.json").write_text(json.dumps({"on_training_examples": {"mine": known}}))
        assert "probably" not in render(read_run(run))
        return titles(run)[:2]

    both = ["Train longer", "Add training examples"]
    assert told(0.98438)[0] == "Add training examples" and "Train longer" not in titles(run)  # it knows them
    assert told(0.875) == both
    assert "only 87.5 on its own training examples: it has not learned them yet.\n" in render(read_run(run))
    assert told(1.0)[0] == "Add training examples" and "Train longer" not in titles(run)  # all are memorised
    more = next_steps(read_run(run), scored(run))[0]
    assert more.why.startswith("The model has memorised its training examples (it scores 100.0 on them, 86.0 on the ")
    # As many epochs, however many lines are added: 40 iterations of 5 are 4 of the 50 examples.
    epochs = "--set training.iterations=null --set training.epochs=4"
    assert more.commands[1] == f"twelve train {run / 'config.yaml'} {epochs} --set run={run}-2"
    # But no more than five iterations for each line: 5 * 5 / 0.95 and 5 * 5 / 0.8 instead of 33 epochs.
    for size, batch, held_out, asked in ((6, 5, 0.05, 26), (6, 5, 0.2, 31), (8, 5, 0.2, 25), (6, 8, 0.05, 40)):
        tree = yaml.safe_load((small(run, 86.0, 10.0, train=size, batch_size=batch) / "config.yaml").read_text())
        (run / "config.yaml").write_text(yaml.safe_dump(tree | {"val_fraction": held_out}, sort_keys=False))
        told(1.0)
        assert f" --set training.epochs={asked} " in next_steps(read_run(run), scored(run))[0].commands[1]
    small(run, 86.0, 10.0, train=50)
    told(0.95)
    of_mine(run, 0.2, 0.4, 0.6, 0.8)  # it still rises: that step is the one that trains longer
    data = json.loads((run / "data.json").read_text())
    data["tasks"]["mine"]["validation"] = 100
    (run / "data.json").write_text(json.dumps(data))
    rises, second = next_steps(read_run(run), scored(run))[:2]
    assert (rises.title, second.title) == tuple(both) and titles(run).count("Train longer") == 1
    assert "the validation score rose by " in rises.why
    of_mine(run, 0.2, 0.8, 0.8, 0.8)
    assert told(0.875)[0] == "Add training examples" and "Train longer" not in titles(run)  # it has levelled off
    of_mine(run, 0.2, 0.4, 0.6, 0.8)
    told(1.0)
    assert titles(run).index("Add training examples") < titles(run).index("Train longer")
    configured(run, iterations=400)  # it ended early, because nothing improved
    (run / "trained.json").write_text("{}")
    assert "Train longer" not in titles(run)


def test_of_several_tasks_the_one_that_needs_examples_is_trained_alone(run: Path) -> None:
    tree = yaml.safe_load((run / "config.yaml").read_text())["tasks"]
    root = Path(read_run(run).config.data)
    (root / "train.jsonl").write_text('{"text": "is it wet?", "image": "1.jpg", "target": "yes"}\n')
    config = yaml.safe_load((alone(run, 40.0, -70.0) / "config.yaml").read_text())
    config["tasks"] |= {"vqa": tree["vqa"]}
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    step = next_steps(read_run(run), scored(run))[0]
    assert step.title == "Add training examples" and step.why.endswith("which has 1 line.")
    assert step.why.startswith("mine: Add 50 to 100 lines to ") and "The first line is {" in step.details
    assert step.commands[1].endswith(f"--set 'tasks=[mine]' --set training.iterations=200 --set run={run}-mine-more")
    assert step.commands[-1] == f"twelve evaluate {run}-mine-more --split train.jsonl"


@pytest.mark.parametrize("apart", [False, True])
def test_the_data_of_own_tasks_are_checked_with_their_configuration(
    run: Path, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = run.parent / "root"
    fake_run.draw_image(root / "images" / "mine" / "0.jpg", 1)
    line = '{"text": "what is it?", "image": "0.jpg", "target": "a ball"}\n'
    (root / "train.jsonl").write_text(FEW_LINES * line)
    (root / "test.jsonl").write_text(line)
    alone(run, 40.0, -70.0)
    if apart:
        tree = yaml.safe_load((run / "config.yaml").read_text())
        (run / "config.yaml").write_text(yaml.safe_dump(tree | {"regions": str(run.parent / "regions")}))
    monkeypatch.chdir(run.parent)
    step = next(step for step in next_steps(read_run(Path("run")), scored(run)) if step.title.startswith("Check the "))
    regions = " --regions regions" if apart else ""
    assert step.commands == [f"twelve data check root --config run/config.yaml{regions}"]
    done = CliRunner().invoke(cli.app, shlex.split(step.commands[0])[1:])
    assert "test.jsonl: 1 example on 1 image" in done.output and "no folder of any task" not in str(done.exception)


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an unfinished run to a finished one, by what its own reports say."""
    root = tiny.make(tmp_path / "root", train=8, val=3)
    tree = tiny.tree(root, tmp_path / "runs" / "first")
    tree["training"] |= {"iterations": 2, "eval_every": 1, "save_every": 1}
    folder = train(configuration.parse(tree), console=Console(quiet=True))
    monkeypatch.chdir(tmp_path)
    (folder / "trained.json").unlink()
    configured(folder, iterations=3)
    monkeypatch.setattr("twelve.report.next_steps.FEWEST_GROUPS", 1)  # so that tasks of few images are advised on, too
    monkeypatch.setattr("twelve.report.own_task_steps.FEWEST_GROUPS", 1)
    seen = set()
    for _ in range(4):
        page = write_report(Path("runs/first")).read_text(encoding="utf-8")
        overview = page.partition('id="overview"')[2].partition("</section>")[0]
        for command in commands(overview):
            words = shlex.split(command)[1:]
            if words[0] in ("serve", "quickstart") or words[:2] == ["data", "check"] or command in seen:
                continue  # it does not end; a drawn world; all official files
            seen.add(command)
            done = CliRunner().invoke(cli.app, words)
            assert done.exit_code == 0, (command, done.output, done.exception)
    assert (folder / "trained.json").is_file() and (folder / "evaluation.json").is_file()
    told = " ".join(seen)
    assert "--continue" in told and "twelve evaluate" in told and "tasks=[" in told


# --- title ---------------------------------------------------------------------------------------------------------


def test_the_title_names_configuration_date_and_data(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    found = heading(read_run(run))
    assert found.title == f"Run “{run.parent.name}/run”, 5 tasks, 4 May 2026, data in root" and not found.synthetic
    assert found.size == "one model for 5 tasks, 28.9 M parameters, 40 iterations in 1 min 20 s"
    monkeypatch.chdir(run)
    data = Path("..", "root")
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | {"data": str(data)}, sort_keys=False))
    assert f"Data in {run.parent / 'root'};" in render(read_run(run))
    drawn = changed(run, lambda tree: tree["facts"].update(drawn=True, date="yesterday"))
    assert heading(read_run(drawn)).synthetic and "synthetic images in" in heading(read_run(drawn)).title
    assert "Synthetic images</b>" in render(read_run(drawn)) and "yesterday" not in render(read_run(drawn))


def test_a_run_of_its_own_is_named_by_its_folder_and_its_tasks(run: Path) -> None:
    alone(run, 90.0, 0.0)
    for folder, name in (
        ("drink", "Run “drink”, task “mine”"),
        ("mine", "Run “mine”"),
        ("run", "Run “kept/run”, task “mine”"),
    ):
        moved = run.rename(run.parent / folder) if folder != "run" else run.rename(made(run.parent / "kept") / "run")
        assert heading(read_run(moved)).name == name and f"<h1>{name}, " in render(read_run(moved))
        run = moved
    tree = yaml.safe_load((run / "config.yaml").read_text())
    both = {"mine": tree["tasks"]["mine"], "vqa": {}}
    (run / "config.yaml").write_text(yaml.safe_dump(tree | {"tasks": both}, sort_keys=False))
    assert heading(read_run(run)).name == "Run “kept/run”, tasks “mine” and VQA v2"


def test_epochs_and_learning_rate_of_a_single_task_are_told(run: Path) -> None:
    assert "epoch" not in heading(read_run(run)).size and "rate" not in heading(read_run(run)).size  # each has its own
    tree = yaml.safe_load((alone(run, 90.0, 0.0) / "config.yaml").read_text())
    tree["tasks"]["mine"] |= {"batch_size": 5, "learning_rate": 4e-4}
    (run / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    assert (
        ", 40 iterations in 1 min 20 s, learning rate 4e-4" in heading(read_run(run)).size
    )  # of how many is not known
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(data | {"tasks": {"mine": {"train": 83, "validation": 20}}}))
    page = re.sub(r"</?span[^>]*>", "", render(read_run(run)))
    assert ", 40 iterations (2.4 epochs) in 1 min 20 s, learning rate 4e-4" in page
    (run / "trained.json").write_text(json.dumps({"iterations": 40, "examples": {"mine": 830}}))
    assert "(10 epochs)" in heading(read_run(run)).size
    (run / "trained.json").unlink()
    (run / "data.json").write_text(json.dumps(data | {"tasks": {"mine": {"train": 2, "validation": 1}}}))
    assert "(40 epochs)" in heading(read_run(run)).size


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_shipped_configuration_is_named_with_what_was_changed(tmp_path: Path) -> None:
    for settings, name in (
        ([], "quickstart.yaml"),
        (["training.iterations=1600"], "quickstart.yaml with training.iterations=1600"),
        (
            [f"tasks.{task}.batch_size=3" for task in ("vqa", "gqa", "coco", "nlvr2")[: CHANGES + 1]],
            "Run “mine”, 12 tasks",
        ),
    ):
        config = configuration.load("quickstart.yaml", [f"run={tmp_path / 'mine'}", *settings])
        (tmp_path / "mine").mkdir(exist_ok=True)
        config.write(tmp_path / "mine" / "config.yaml")
        assert heading(read_run(tmp_path / "mine")).name == name


def test_among_configurations_the_folder_decides() -> None:
    """With bf16, real-sample.yaml differs less from a study's configuration than from itself."""
    changed = ["training.precision=bf16", "training.threads=1"]
    assert name_of(configuration.load("real-sample.yaml", changed)) == "real-sample.yaml with 2 changes"
