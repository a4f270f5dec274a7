"""Published studies: the tables come out of the results that lie beside them."""

from __future__ import annotations

import importlib
import io
import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from twelve.config import load, parse
from twelve.study import plan as plans
from twelve.study.bootstrap import by_bootstrap_alone, significant, t_interval
from twelve.study.cells import gain_of, spread
from twelve.study.findings import findings
from twelve.study.report import plots
from twelve.study.show import TABLE, show

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
QUARTER = {"vqa": 7345, "coco": 3673, "refcoco": 3666, "snli_ve": 1138}
CHANGED: dict[str, tuple[str, list[str]]] = {
    "study-four-tasks-ten-times": ("study-four-tasks.yaml", []),
    "study-four-tasks-more-data": ("study-four-tasks.yaml", ["microworld.scale=4"]),
    "study-four-tasks-quarter-data": (
        "study-four-tasks.yaml",
        [
            "microworld.scale=4",
            *(f"tasks.{task}.max_train={most}" for task, most in QUARTER.items()),
        ],
    ),
    "study-four-tasks-always-go-groups": ("study-four-tasks.yaml", ["schedule={name: always-go}"]),
    "study-four-tasks-one-rate-groups": (
        "study-four-tasks.yaml",
        [f"tasks.{task}.learning_rate=2e-4" for task in ("vqa", "refcoco", "snli_ve")],
    ),
    "study-four-tasks-pretrained-groups": (
        "study-four-tasks.yaml",
        [f"tasks.{task}.learning_rate=2e-4" for task in ("vqa", "refcoco", "snli_ve")],
    ),
    "study-four-tasks-pretrained-groups-again": (
        "study-four-tasks.yaml",
        [*(f"tasks.{task}.learning_rate=2e-4" for task in ("vqa", "refcoco", "snli_ve")), "seed=3"],
    ),
    "study-four-tasks-pretrained": (
        "study-four-tasks.yaml",
        [f"tasks.{task}.learning_rate=2e-4" for task in ("vqa", "refcoco", "snli_ve")],
    ),
    "study-four-tasks-pretrained-longer": (
        "study-four-tasks.yaml",
        [f"tasks.{task}.learning_rate=2e-4" for task in ("vqa", "refcoco", "snli_ve")],
    ),
    "study-four-tasks-drawn-wordings": (
        "study-four-tasks.yaml",
        [
            *(f"tasks.{task}.learning_rate=2e-4" for task in ("vqa", "refcoco", "snli_ve")),
            "microworld.draw_wordings=true",
        ],
    ),
    "study-four-tasks-pretrained-fine-tuning": (
        "study-four-tasks.yaml",
        [f"tasks.{task}.learning_rate=2e-4" for task in ("vqa", "refcoco", "snli_ve")],
    ),
    "study-four-tasks-lower-rate-groups": ("study-four-tasks.yaml", ["tasks.coco.learning_rate=6e-5"]),
    "study-three-photograph-tasks": (
        "study-real-photographs-small.yaml",
        [
            "training.precision=bf16",
            "tasks=[flickr30k,refcoco,snli_ve]",
            "tasks.flickr30k.learning_rate=1.8e-4",
            "tasks.snli_ve.learning_rate=3.6e-4",
        ],
    ),
}
"""Studies that were run with a changed configuration (``--set``), or whose name does not tell it."""
STUDIES = sorted(path.parent for path in RESULTS.glob("study-*/study.json"))


def test_there_are_some() -> None:
    names = [
        "apart-groups",
        "four-tasks-ablations",
        "four-tasks-affinity",
        "four-tasks-always-go-groups",
        "four-tasks-balancing",
        "four-tasks-drawn-wordings",
        "four-tasks-fine-tuning",
        "four-tasks-groups",
        "four-tasks-joint-vs-single",
        "four-tasks-lower-rate-groups",
        "four-tasks-more-data",
        "four-tasks-one-rate-groups",
        "four-tasks-pretrained",
        "four-tasks-pretrained-fine-tuning",
        "four-tasks-pretrained-groups",
        "four-tasks-pretrained-groups-again",
        "four-tasks-pretrained-longer",
        "four-tasks-quarter-data",
        "four-tasks-static-weights",
        "four-tasks-ten-times",
        "microworld",
        "real-photographs-small",
        "real-sample",
        "six-tasks",
        "six-tasks-ablations",
        "six-tasks-joint-vs-single",
        "three-photograph-tasks",
    ]
    assert [study.name for study in STUDIES] == [f"study-{name}" for name in names]


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_the_table_is_that_of_the_results(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    (copy / TABLE).unlink()
    show(copy, console=Console(file=io.StringIO()))
    assert (copy / TABLE).read_text(encoding="utf-8") == (study / TABLE).read_text(encoding="utf-8")


def test_a_study_that_lacks_a_seed_says_so_first(tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(RESULTS / "study-six-tasks", copy)
    assert not findings(copy).sentences[0].startswith("Preliminary")
    shutil.rmtree(copy / "seed-2")
    first, second, *_ = findings(copy).sentences
    assert first.startswith("Preliminary (2 of 3 seeds): stop-and-go and single-longer do not differ")
    assert "of this difference comes from 4 tasks" in second


@pytest.mark.parametrize(
    "same",
    [
        ("four-tasks-ablations/joint", "four-tasks-joint-vs-single/stop-and-go", "four-tasks-groups/all"),
        ("four-tasks-ablations/always-go", "four-tasks-balancing/static"),
        (
            "four-tasks-pretrained-groups/all",
            "four-tasks-pretrained/pretrained",
            "four-tasks-pretrained-fine-tuning/joint",
        ),
    ],
)
def test_what_the_record_calls_the_same_models_has_the_same_scores(same: tuple[str, ...]) -> None:
    """On every example of every seed and task."""
    text = (RESULTS.parents[1] / "docs" / "study-record.md").read_text(encoding="utf-8")
    told = text.partition("- **Models.** The arms of each line are the same model")[2].partition("\n\n")[0]
    values = []
    for name in same:
        study, arm = name.split("/")
        assert f"`{arm}` of `{study}`" in " ".join(told.split())
        files = sorted(RESULTS.glob(f"study-{study}/seed-[012]/results/{arm}/*.json"))
        values.append([(read["seed"], read["task"], read["values"]) for read in map(json_of, files)])
    assert len(values[0]) == 12 and all(each == values[0] for each in values)


@pytest.mark.parametrize(
    ("name", "minus", "well", "line"),
    [
        (
            "six-tasks-joint-vs-single",
            "single-longer",
            ("refcoco", "visual7w"),
            "{share} from VQA, GQA, Flickr30k and SNLI-VE; on the other two: **{rest}** |",
        ),
        (
            "six-tasks",
            "single-longer",
            ("refcoco", "visual7w"),
            "{share} of this lead comes from the same four tasks; on the other two, it is {rest} \\*.",
        ),
        (
            "four-tasks-joint-vs-single",
            "single-trunk",
            ("refcoco",),
            "{share} from VQA, COCO and SNLI-VE; on RefCOCO: {rest} |",
        ),
        (
            "microworld",
            "single-longer",
            ("refcoco", "refcoco+", "refcocog", "visual7w"),
            "{share} from the eight tasks that are hardly learned, if at all; on RefCOCO, RefCOCO+, RefCOCOg and "
            "Visual7W: {rest} \\* |",
        ),
    ],
)
def test_leads_on_tasks_that_are_learned_well_are_those_of_the_page(
    name: str, minus: str, well: tuple[str, ...], line: str, tmp_path: Path
) -> None:
    """The division of tasks on two pages, the share of the lead, and the lead on the well learned ones."""
    study = shutil.copytree(RESULTS / f"study-{name}", tmp_path / "study")
    found = findings(study)
    single = {row.name: row.scores[minus].closed.mean for row in found.rows}
    assert all(score > 70 if task in well else score < 10 for task, score in single.items())
    main = next(each for each in found.comparisons if each.contrast.minus == minus)
    leads = {cell.task: cell.closed.mean for cell in main.cells}
    share = 1 - sum(leads[task] for task in well) / sum(leads.values())
    record = json.loads((study / "study.json").read_text(encoding="utf-8"))
    record["plan"]["contrasts"] = [{"arm": "stop-and-go", "minus": minus, "tasks": list(well)}]
    (study / "study.json").write_text(json.dumps(record), encoding="utf-8")
    (only,) = findings(str(study)).comparisons
    assert main.uneven is not None and main.uneven.behind == minus
    assert set(main.uneven.tasks) == single.keys() - set(well) and main.uneven.share == pytest.approx(100 * share)
    assert (main.uneven.rest, main.uneven.rest_seeds) == (only.every, only.seeds)
    told = f"{share:.0%} of this lead comes from {len(main.uneven.tasks)} tasks on which {minus} has"
    assert found.sentences[1].startswith(told) and gain_of(only.every) in found.sentences[1]
    pages = (RESULTS.parents[1] / "docs").glob("joint-vs-single*.md")
    text = " ".join(" ".join(page.read_text(encoding="utf-8") for page in pages).split())
    assert line.format(share=f"{share:.0%}", rest=gain_of(only.every)) in text


def test_one_recorded_validation_of_retrieval_is_that_of_a_collapsed_model() -> None:
    """What study-record.md says of studies whose validation counted equal logits as right."""
    text = " ".join((RESULTS.parents[1] / "docs" / "study-record.md").read_text(encoding="utf-8").split())
    told = text.partition("## Which studies used the faulty validation of retrieval?")[2]
    older = {f"study-{name}" for name in re.findall("`([^`]+)`", told.partition("Before commit")[0])}
    assert len(older) == 9 and older <= {study.name for study in STUDIES}
    scores: dict[str, list[float]] = {}
    for name in ("coco", "flickr30k"):
        for file in RESULTS.glob(f"study-*/seed-*/results/*/{name}.json"):
            scores[file.relative_to(RESULTS).as_posix()] = [json_of(file)["validation"]]
        for file in RESULTS.glob(f"study-*/search/*/{name}.json"):
            scores[file.relative_to(RESULTS).as_posix()] = [*json_of(file)["validations"].values()]
    assert len(scores) > 200
    without = set()
    for file in RESULTS.glob("study-*/results.json"):
        curves = [each for each in json_of(file)["curves"] if each["task"] in ("coco", "flickr30k")]
        without |= set() if curves else {file.parent.name.removeprefix("study-")}
        for number, curve in enumerate(curves):
            scores[f"{file.parent.name}/{number}"] = [score / 100 for _, score in curve["points"]]
    scores = {name: found for name, found in scores.items() if name.partition("/")[0] in older}
    high = {name for name, found in scores.items() if max(found) > 0.95}
    assert high == {"study-microworld/seed-1/results/single-longer/coco.json"} and "[seed 1 of `microworld`]" in told
    others = max(max(found) for name, found in scores.items() if name not in high)
    assert f"The highest of the others is {100 * others:.1f}%." in told
    assert without == {"microworld", "real-sample"} and "`microworld` and `real-sample` recorded no curves" in told


def test_retrieval_alone_makes_the_lead_on_photographs() -> None:
    """joint-vs-single.md splits the lead over all tasks into parts."""
    (compared,) = json_of(RESULTS / "study-real-photographs-small" / "results.json")["comparisons"]
    parts = {cell["task"]: cell["closed"]["mean"] / len(compared["cells"]) for cell in compared["cells"]}
    retrieval = parts.pop("flickr30k")
    told = (
        f"| {compared['every']['mean']:+.1f} † | {retrieval:+.1f} from retrieval, which single-task models do not "
        f"learn, and {sum(parts.values()):+.1f} from the other three tasks together; 0.0 with"
    )
    assert told in (RESULTS.parents[1] / "docs" / "joint-vs-single.md").read_text(encoding="utf-8")
    told = (
        f"Of the {compared['every']['mean']:+.1f} points over all tasks, retrieval accounts for {retrieval:+.1f}, "
        f"SNLI-VE for {parts['snli_ve']:+.1f}, DAQUAR for {parts['vqa']:+.1f} and Entities for {parts['refcoco']:+.1f}."
    )
    text = (RESULTS.parents[1] / "docs" / "real-photographs.md").read_text(encoding="utf-8")
    assert told in " ".join(text.split())


def test_the_differences_with_a_quarter_of_the_data_are_those_of_the_page(tmp_path: Path) -> None:
    """Of arms of two studies with the same test images, as benchmarks/four_times_the_data.py compares them."""
    sys.path.insert(0, str(RESULTS.parent))
    try:
        from four_times_the_data import both
    finally:
        sys.path.pop(0)
    text = (RESULTS.parents[1] / "docs" / "joint-vs-single-studies.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ") and " minus " in line}
    compared = both(tmp_path).comparisons
    assert len(compared) == 3
    for each in compared:
        row = rows[f"| {each.contrast.arm} minus {each.contrast.minus}"]
        bold = "**" * abs(significant(each.every, each.seeds))
        assert f"| {bold}{gain_of(each.every)}{bold} |" in row
        assert all(gain_of(cell.points) in row for cell in each.cells if cell.learned)


def script(name: str) -> ModuleType:
    """A script of the folder benchmarks."""
    sys.path.insert(0, str(RESULTS.parent))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


@pytest.fixture
def joint_minus_single() -> ModuleType:
    return script("joint_minus_single")


def page(name: str) -> str:
    """The text of a page, without line breaks."""
    return " ".join((RESULTS.parents[1] / "docs" / name).read_text(encoding="utf-8").split())


def test_numbers_without_a_seed_or_a_task_are_those_of_the_pages() -> None:
    left_out = script("left_out")
    found = {each: {of.contrast.name: of for of in left_out.without(*each)} for each in left_out.WITHOUT}
    seed, searched, photographs = found.values()
    total, quarter = (seed[f"{arm} minus single-pretrained"].every for arm in ("pretrained-total", "pretrained"))
    text = page("joint-vs-single-studies.md")
    assert f"the lead of `pretrained-total` is **{gain_of(total)}**" in text
    assert f"difference of `pretrained` is {gain_of(quarter)} (`python benchmarks/left_out.py`)" in text
    lead = searched["stop-and-go minus single-longer"]
    assert f"the lead is {lead.every.mean:+.1f}, t {spread(lead.seeds)} (`python benchmarks/left_out.py`)" in text
    few, text = photographs["joint minus single-longer"], page("real-photographs.md")
    assert f"the mean difference is {gain_of(few.every)}, t {spread(few.seeds)} (not significant)" in text
    assert few.every.low < 0 < few.every.high
    assert f"of single-task models is only {left_out.alone()}" in text
    shares = tuple(f"{share:.0%}" for share in left_out.processor_time())
    assert shares == ("39%", "45%") and "takes 39% of their processor time (about 45%, estimated" in text


def test_what_repeated_extensions_cost_are_the_updates_of_the_page() -> None:
    left_out = script("left_out")
    files = sorted((RESULTS / f"study-{left_out.PHOTOGRAPHS}").glob("seed-*/results/single-longer/*.json"))
    repeated = [left_out.repeats(json_of(file)) for file in files]
    assert sum(map(bool, repeated)) == 3  # of four runs with two extensions
    assert f"so {sum(repeated) / 3:,.0f} of the 43,809 updates had no effect" in page("real-photographs.md")


def test_what_the_lead_loses_by_pretraining_is_that_of_the_page() -> None:
    module = script("lead_after_pretraining")
    (joint, single), (joint_after, single_after) = map(module.scores, module.STUDIES)
    before, after, gained = joint - single, joint_after - single_after, single_after - single
    lost = spread((before - after).tolist()).replace("+", "")
    text = page("joint-vs-single.md")
    assert f"by {(before - after).mean():.1f} points (t {lost}, three seeds)" in text
    assert f"it is {before.mean():.1f} without pretraining and {after.mean():.1f} with it" in text
    assert f"gain {gained.mean():.1f} points (t {spread(gained.tolist()).replace('+', '')})" in text
    loss = joint - joint_after
    assert f"the joint model loses {loss.mean():.1f} (t {spread(loss.tolist()).replace('+', '')})" in text
    assert all(f"`{study.removeprefix('study-')}`" in text for study in module.STUDIES)


def test_leads_on_what_is_learned_well_are_significant_in_two_studies(tmp_path: Path) -> None:
    """By one rule for the five studies from random weights: the mean over the tasks whose single-task models have a
    normalised score above 70."""
    means = {}
    for name, minus in {
        "six-tasks-joint-vs-single": "single-longer",
        "six-tasks": "single-longer",
        "four-tasks-joint-vs-single": "single-trunk",
        "four-tasks-ten-times": "single-longer",
        "microworld": "single-longer",
    }.items():
        study = shutil.copytree(RESULTS / f"study-{name}", tmp_path / name)
        well = [row.name for row in findings(study).rows if row.scores[minus].closed.mean > 70]
        record = json_of(study / "study.json")
        record["plan"]["contrasts"] = [{"arm": "stop-and-go", "minus": minus, "tasks": well}]
        (study / "study.json").write_text(json.dumps(record), encoding="utf-8")
        (means[name],) = findings(study).comparisons
    told = {name: each for name, each in means.items() if significant(each.every, each.seeds)}
    assert [*told] == ["six-tasks-joint-vs-single", "four-tasks-ten-times"]
    searched, ten = told.values()
    assert [cell.task for cell in ten.cells] == ["refcoco"]
    rest = sorted(f"{each.every.mean:+.1f}" for name, each in means.items() if name not in told)
    assert (
        "significant in two of the five studies from random weights (*six synthetic tasks* included): "
        f"**{gain_of(searched.every)}** with all learning rates searched, and **{gain_of(ten.every)}** with ten times "
        "the updates (RefCOCO alone; not significant after Holm's correction). "
        f"In the other three, it is {rest[0]} to {rest[-1]}."
    ) in page("joint-vs-single.md")


@pytest.mark.parametrize(
    ("study", "heading", "contrast"),
    [
        ("four-tasks-pretrained", "## Four synthetic tasks after pretraining", "stop-and-go minus pretrained-total"),
        ("four-tasks-fine-tuning", "### Fine-tuned from random weights", "fine-tuned minus joint"),
        ("four-tasks-fine-tuning", "### Fine-tuned from random weights", "joint-longer minus joint"),
        ("four-tasks-fine-tuning", "### Fine-tuned from random weights", "fine-tuned minus joint-longer"),
    ],
)
def test_rows_of_differences_are_those_of_the_study(study: str, heading: str, contrast: str) -> None:
    text = (RESULTS.parents[1] / "docs" / "joint-vs-single-studies.md").read_text(encoding="utf-8")
    row = text.partition(f"{heading}\n")[2].partition(f"| {contrast} | ")[2].partition("\n")[0]
    (found,) = (each for each in findings(RESULTS / f"study-{study}").comparisons if each.contrast.name == contrast)
    cells = {cell.task: (cell.points, cell.seeds) for cell in found.cells}
    (refcoco,) = (cell for cell in found.cells if cell.task == "refcoco")
    if study == "four-tasks-fine-tuning":  # its last column: RefCOCO on seen wordings
        (seen,) = (part for part in refcoco.parts if part.kind == "wording" and part.seen)
        cells = {"vqa": cells["vqa"], "refcoco": cells["refcoco"], "seen": (seen.points, seen.seeds)}
    bold = [
        ("**" * abs(significant(*each)), gain_of(each[0])) for each in [(found.every, found.seeds), *cells.values()]
    ]
    assert re.findall(r"(\**)([-+\d][^|*]*])\1", row) == bold and not refcoco.remains


def test_gains_in_validation_after_pretraining_are_those_of_the_study() -> None:
    text = (RESULTS.parents[1] / "docs" / "joint-vs-single-studies.md").read_text(encoding="utf-8")
    own = text.partition("## Four synthetic tasks after pretraining\n")[2]
    recorded = (RESULTS / "study-four-tasks-pretrained" / "results.md").read_text(encoding="utf-8")
    gains = re.findall(r"^\| ([a-z-]+) \| (\S+) \| (\[[^]]+\]) \| .* \| 20 \| \d+ \|$", recorded, re.MULTILINE)
    assert len(gains) == 4
    for arm, gain, low_high in gains:
        row = own.partition(f"\n| {arm} | ")[2].partition("\n")[0]
        assert row.endswith(f" | {gain} {low_high} |")


def test_what_leaving_out_refcoco_costs_is_divided_as_on_the_page() -> None:
    found = findings(RESULTS / "study-four-tasks-groups").comparison("all", "answering+retrieval+verification")
    assert found is not None
    parts = {cell.task: cell for cell in found.cells}
    lost = {task: cell.closed.mean for task, cell in parts.items()}
    share = (lost["coco"] + lost["snli_ve"]) / sum(lost.values())
    assert [task for task, cell in parts.items() if not cell.learned] == ["coco", "snli_ve"]
    text = page("relations.md")
    assert f"**{found.every.mean:.1f}** ‡ points, {share:.0%} of it on COCO and SNLI-VE, which are then not" in text
    vqa = gain_of(parts["vqa"].points).replace("+", "")
    assert (
        f"The {found.every.mean:.1f} is the mean of COCO ({lost['coco']:.1f}), SNLI-VE ({lost['snli_ve']:.1f}) and VQA "
        f"({lost['vqa']:.1f}; **{vqa}** in accuracy)"
    ) in text


def test_what_is_better_than_a_plain_sum_of_gradients_is_that_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    script("balancing_minus_mixed").main()
    told = {line.partition(":")[0]: line for line in capsys.readouterr().out.splitlines()}
    corrected = {name: float(line.rpartition(": ")[2]) for name, line in told.items()}
    assert [name for name, p in corrected.items() if p <= 0.05] == ["cagrad"]
    text = page("balancing.md")
    assert f"only `cagrad` remains, with p = {corrected['cagrad']:.3f} (" in text
    rows = {name: re.findall(r"\**[-+][^|*]*]\**", text.partition(f"| `{name}` | ")[2])[1] for name in told}
    better = [name for name, cell in rows.items() if cell.startswith("**")]
    assert better == ["pcgrad", "cagrad"] and all(rows[name].strip("*") in line for name, line in told.items())


def test_stop_and_go_with_twelve_tasks_is_that_of_the_page() -> None:
    found, text = findings(RESULTS / "study-microworld"), page("ablations.md").partition("## Stop-and-go with")[2]
    for each in found.comparisons:
        arm = each.contrast.minus
        if arm in ("always-go", "always-go-equal", "proportional-equal"):
            updates = f"{found.costs[arm].updates:,.0f}"
            row = text.partition(f"| `{arm}`: ")[2].split(" | ")[1:4]
            assert row == [updates, gain_of(each.every), spread(each.seeds)], arm


def test_the_set_ups_are_those_of_the_records() -> None:
    """Iterations, parameters and, where a study recorded them, training examples."""
    whole = (RESULTS.parents[1] / "docs" / "joint-vs-single-studies.md").read_text(encoding="utf-8")
    raw = whole.partition("## Set-ups")[2].partition("## Numbers of all studies")[0]
    text = " ".join(raw.split())
    for study, row in {
        "six-tasks": "six synthetic tasks",
        "four-tasks-joint-vs-single": "four synthetic tasks, from random weights",
        "microworld": "twelve synthetic tasks",
        "three-photograph-tasks": "three tasks on photographs",
        "real-photographs-small": "four tasks on photographs",
        "real-sample": "five tasks on photographs",
    }.items():
        cells = text.partition(f"| {row}")[2].partition(" | |")[0].split(" | ")
        costs = [*json_of(RESULTS / f"study-{study}" / "results.json")["costs"].values()]
        joint, single = costs[0]["parameters"], min(each["parameters"] / each["models"] for each in costs)
        assert cells[2].startswith(f"{plans.read(RESULTS / f'study-{study}').config['training']['iterations']:,}")
        assert cells[3] == f"{joint / 1e6:.1f} M" and single / joint > 0.9
    named, _, counts = (line.strip("| ").split(" | ") for line in raw.strip().splitlines()[-3:])
    examples = dict(zip(named, counts, strict=True))
    for file in (RESULTS / "study-four-tasks-groups" / "seed-0" / "results" / "all").glob("*.json"):
        result = json_of(file)
        assert (
            examples[result["title"].removesuffix(" v2").removesuffix(" retrieval")]
            == f"{result['training_examples']:,}"
        )


@pytest.mark.skipif(not plots.available(), reason="matplotlib is not installed (pip install 'twelve-vl[plots]')")
def test_the_figure_of_joint_minus_single_is_that_of_the_results(joint_minus_single: ModuleType) -> None:
    """The same words and numbers, which the file has as comments; with the same matplotlib, the same bytes."""
    there, now = joint_minus_single.FIGURE.read_bytes(), joint_minus_single.drawn()
    words, version = rb"<!-- (.*?) -->", rb"Matplotlib v[^,]+"
    assert len(re.findall(words, there)) > 45 and re.findall(words, now) == re.findall(words, there)
    assert now == there or re.findall(version, now) != re.findall(version, there)


@pytest.mark.skipif(not plots.available(), reason="matplotlib is not installed (pip install 'twelve-vl[plots]')")
def test_joint_minus_single_writes_its_figure_only_if_asked(
    joint_minus_single: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(joint_minus_single, "HOME", tmp_path)
    monkeypatch.setattr(joint_minus_single, "FIGURE", tmp_path / "figure.svg")
    for asked in ([], ["--write"]):
        monkeypatch.setattr(sys, "argv", ["joint_minus_single.py", *asked])
        joint_minus_single.main()
        assert (tmp_path / "figure.svg").exists() == bool(asked)
        assert "| study | folder " in capsys.readouterr().out


def test_the_table_of_joint_minus_single_is_that_of_the_results(joint_minus_single: ModuleType) -> None:
    """Its rows, and the names and the order of the studies on the page with the figure, which leaves out two."""
    docs = RESULTS.parents[1] / "docs"
    _, _, *rows = joint_minus_single.rows().splitlines()
    texts = [(docs / name).read_text(encoding="utf-8") for name in ("joint-vs-single-studies.md", "joint-vs-single.md")]
    table, page = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).splitlines() for text in texts)
    assert [line for line in table if line in rows] == rows
    names = [line.split(" | ")[0].removeprefix("| ") for line in page if line.startswith("| ")]
    known = dict(joint_minus_single.STUDIES)
    del known["six-tasks"], known["real-sample"]
    assert names == ["study", *known.values()]


def test_the_difference_on_entities_is_that_of_both_studies(joint_minus_single: ModuleType) -> None:
    """The studies share the test images, the joint model is behind in every training, and the page has the numbers."""
    groups = {
        tuple(json_of(file)["groups"])
        for study in joint_minus_single.POOLED
        for file in RESULTS.glob(f"study-{study}/seed-*/results/*/refcoco.json")
    }
    assert len(groups) == 1
    found = joint_minus_single.pooled()
    assert found.significant and len(found.seeds) == 6 and max(found.seeds) < 0
    text = " ".join((RESULTS.parents[1] / "docs" / "real-photographs.md").read_text(encoding="utf-8").split())
    behind, few = f"{-found.gain.mean:.1f} points of accuracy", f"[{-found.gain.high:.1f}, {-found.gain.low:.1f}]"
    assert f"**{behind} {few}**, t" in text and f"the {len(set(*groups))} test images" in text
    by_seed = [f"{-seed:.1f}" for seed in found.seeds]
    first, second = (f"{a}, {b} and {c}" for a, b, c in (by_seed[:3], by_seed[3:]))
    assert f"(by seed {first}; {second})" in text


def json_of(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_the_configuration_is_the_shipped_one(study: Path) -> None:
    """Keys that did not exist when the study ran have their defaults. Several studies may share a configuration. Where
    photographs lay and where runs went is no part of it; a study of generated worlds names its own folder."""
    plan = plans.read(study)
    shipped = load(*CHANGED.get(study.name, (f"{study.name.removesuffix(f'-{plan.study}')}.yaml",)))
    elsewhere = {"run": str(shipped.run)} | ({} if plan.worlds else {"data": str(shipped.data)})
    assert parse(plan.config | elsewhere) == shipped


def test_the_lead_over_single_task_models_that_train_as_long_is_that_of_the_page(tmp_path: Path) -> None:
    found = script("as_long_as_joint").both(tmp_path)
    (joint,) = (each for each in found.comparisons if each.contrast.minus == "single-pretrained-longer")
    gains = ", ".join(f"{seed:+.1f}" for seed in joint.seeds)
    lead = f"**{gain_of(joint.every)}**, t {spread(joint.seeds)}"
    told = f"`pretrained-total` still leads, by {lead}, in every seed ({gains})"
    assert told in page("joint-vs-single-studies.md")


def test_how_much_more_the_joint_model_gains_by_longer_training_is_that_of_the_pages(tmp_path: Path) -> None:
    module = script("as_long_as_joint")
    lead, single, joint, _ = module.both(tmp_path).comparisons
    more = np.subtract(joint.seeds, single.seeds).tolist()
    found = t_interval(more)
    assert found is not None and round(min(more), 1) >= 10.2
    pages = page("joint-vs-single-studies.md"), page("joint-vs-single.md")
    assert all(f"{joint.every.mean:.1f}" in text and f"[{found.low:.1f}, {found.high:.1f}]" in text for text in pages)
    assert f"The joint model gains {found.mean:.1f} more" in pages[0] and f"**{found.mean:.1f}** (t" in pages[1]
    assert f"p = {module.corrected(lead):.2f}" in pages[0]


def test_the_scores_on_training_examples_behind_that_lead_are_those_of_the_page(tmp_path: Path) -> None:
    module, text = script("as_long_as_joint"), page("joint-vs-single-studies.md")
    found, again = module.both(tmp_path), json.loads(module.AGAIN.read_text(encoding="utf-8"))
    single = [row.scores[module.LONG] for row in found.rows]
    means = [f"{np.mean(each.on_training_examples):.1f} ({np.mean(each.validation):.1f})" for each in single]
    passes = [np.mean(each.passes) for each in single]
    often = f"{min(passes):.0f} to {max(passes):.0f}"
    assert f"| longer single-task models, five seeds | {often} | {' | '.join(means)} |" in text
    for seed, each in again.items():
        scores = [f"{of['on training examples']:.1f} ({of['in validation']:.1f})" for of in each["tasks"].values()]
        passes = [of["passes"] for of in each["tasks"].values()]
        often = f"{min(passes):.0f} to {max(passes):.0f}"
        assert f"| `pretrained-total`, seed {seed} | {often} | {' | '.join(scores)} |" in text
    closed = [cell.closed.mean for cell in found.comparisons[0].cells]
    shares = [f"{100 * each / sum(closed):.0f}%" for each in closed]
    assert f"| share of the lead | | {' | '.join(shares)} |" in text


def test_that_lead_without_some_seeds_is_that_of_the_page(tmp_path: Path) -> None:
    module, text = script("as_long_as_joint"), page("joint-vs-single-studies.md")
    for place, (without, name) in enumerate(
        zip(module.WITHOUT, ("five seeds", "seeds 0 to 2", "without seed 4"), strict=True)
    ):
        (folder := tmp_path / str(place)).mkdir()
        joint = next(iter(module.both(folder, without).comparisons))
        found = [(joint.every, joint.seeds), *((cell.points, cell.seeds) for cell in joint.cells)]
        every, *tasks = (
            f"**{gain_of(gain)}**"
            if significant(gain, seeds)
            else gain_of(gain) + r" \*" * by_bootstrap_alone(gain, seeds)
            for gain, seeds in found
        )
        assert f"| {name} | {every}, {spread(joint.seeds)} | {' | '.join(tasks)} |" in text
