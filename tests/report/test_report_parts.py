"""The report's parts: logs, curves, images within their budget, the choice of examples."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_run
import pytest
import yaml
from jinja2 import Environment, PackageLoader, Template
from PIL import Image
from pydantic import TypeAdapter

from twelve import report
from twelve.data.clean import NO_FOLDER
from twelve.errors import CheckpointError
from twelve.evaluation import recorded
from twelve.evaluation.results import TaskResult
from twelve.formats.data_root import DataRoot
from twelve.outputs import OUTPUTS
from twelve.report.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, chart, sketch, thinned, ticks
from twelve.report.gallery import draw, gallery, glimpses, varied
from twelve.report.image_files import SIDE, ImageFiles
from twelve.report.reading import read_history, read_run
from twelve.report.scores import task_score
from twelve.report.words import metric, metrics
from twelve.report.write import ELSEWHERE, file_rows, kept_rows, machine, render, unlinked, unread
from twelve.run_folder import RunFolder
from twelve.types.measurement import MARKS
from twelve.types.predictions import CardImage, Frame, RecordedPrediction


def write(path: Path, lines: list[object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_history_of_a_resumed_run_counts_the_later_lines(tmp_path: Path) -> None:
    step = {"kind": "step", "losses": {"vqa": 3.0}, "pairs": 10, "seconds": 5.0}
    validation = {"kind": "validation", "task": "vqa", "score": 0.5, "seconds": 5.0}
    skipped = {"kind": "event", "iteration": 0, "event": "skipped: damaged"}
    lines = [step | {"iteration": 2}, step | {"iteration": 4}, validation | {"iteration": 4}, skipped]
    lines += [step | {"iteration": 4, "losses": {"vqa": 2.0}}, validation | {"iteration": 4, "score": 0.75}]
    path = write(tmp_path / "metrics.jsonl", lines)
    path.write_text(path.read_text() + '{"kind": "step", "iter')  # killed while writing
    history = read_history(RunFolder(path.parent))
    assert history.losses == {"vqa": [(2, 3.0), (4, 2.0)]} and history.scores == {"vqa": [(4, 0.75)]}
    assert (history.iterations, history.pairs, history.seconds) == (4, 10, 5.0)


def test_a_log_of_any_size_is_read_line_by_line(tmp_path: Path) -> None:
    path = write(tmp_path / "metrics.jsonl", [{"kind": "step", "iteration": 2, "losses": {"vqa": 3.0}}])
    with open(path, "a", encoding="utf-8") as stream:
        stream.write('{"kind": "event", "event": "' + "x" * (3 << 20) + '"}\n')
        stream.write('{"kind": "step", "iteration": 4, "losses": {"vqa": 2.0}}\n')
    assert read_history(RunFolder(path.parent)).losses == {"vqa": [(2, 3.0), (4, 2.0)]}
    os.truncate(path, 20 << 30)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: expected at most .*, found 21,474,836,480 -> move"):
        read_history(RunFolder(path.parent))


def test_history_of_stops(tmp_path: Path) -> None:
    write(tmp_path / "metrics.jsonl", fake_run.history())
    history = read_history(RunFolder(tmp_path))
    assert history.stopped("flickr30k") == [(20, 30)] and history.stopped("snli_ve") == [(30, 40)]
    assert history.stopped("vqa") == []
    assert len(history.losses["vqa"]) == 20 and history.scores["vqa"][0] == (10, 0.25)


def test_what_was_kept_and_what_was_read(tmp_path: Path) -> None:
    run = fake_run.make(tmp_path / "run", tmp_path / "root")
    lines = [
        {"kind": "kept", "iteration": 40, "task": "vqa", "before": 0.623, "after": 0.601},
        {"kind": "kept", "iteration": 40, "task": "vqa", "before": "?", "after": 1},
        {"kind": "kept", "iteration": 40, "task": "unknown", "before": 0.5, "after": 0.5},
    ]
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)
    data = json.loads((run / "data.json").read_text())
    data["files"] = {"vqa/a<b>.json": {"bytes": 12345, "sha256": 64 * "7"}, "damaged": 3, "half": {"bytes": 1}}
    (run / "data.json").write_text(json.dumps(data))
    read = read_run(run)
    assert kept_rows(read) == [("VQA v2", pytest.approx(62.3), pytest.approx(60.1))]
    assert file_rows(read) == [("vqa/a<b>.json", "12,345 bytes, 7777777777777777…")]
    page = render(read)
    assert "1 official file" in page and "vqa/a&lt;b&gt;.json" in page and "-2.2" in page


def test_a_curve_is_where_its_numbers_are() -> None:
    found = chart("Loss", "loss", [(0, 0.0), (50, 2.0), (100, 1.0)], 100, [(50, 75)])
    assert found is not None
    assert [dot.x for dot in found.dots] == [LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT]
    assert found.dots[0].y == HEIGHT - BOTTOM and found.dots[1].y < found.dots[2].y < found.dots[0].y
    assert found.dots[1].text == "iteration 50: 2.00"
    assert found.bands == (((LEFT + WIDTH - RIGHT) / 2, (WIDTH - RIGHT - LEFT) / 4),)
    assert [label for _, label in found.ticks_x] == ["0", "50", "100"]
    assert found.path.startswith(f"M{LEFT:.1f} ") and found.path.count("L") == 2
    assert chart("Loss", "loss", [(1, float("nan"))], 10) is None
    level = chart("Score", "per cent", [(0, 100.0), (10, 100.0)], 10, most=100)
    assert level is not None and level.ticks_y[-1] == (TOP, "100")
    raised = chart("Score", "per cent", [(0, 60.0), (10, 80.0)], 10)
    assert raised is not None and [dot.y for dot in raised.dots] == [HEIGHT - BOTTOM, TOP]


def test_scores_of_all_tasks_have_one_axis() -> None:
    """Heights in the curves of different tasks can be compared; only values beyond 0 to 100 widen the axis."""
    low, high = [(10, 20.0), (20, 30.0)], [(10, 50.0), (20, 100.0)]
    charts = [chart("Score", "per cent", each, 20, most=100) for each in (low, high)]
    assert [each.ticks_y for each in charts if each] == 2 * [
        ((HEIGHT - BOTTOM, "0"), ((HEIGHT - BOTTOM + TOP) / 2, "50"), (TOP, "100"))
    ]
    sketches = [found for found in map(sketch, (low, high)) if found]
    assert [(each.bottom, each.top) for each in sketches] == 2 * [("0", "100")]
    assert sketches[1].end.y == 4 and sketches[0].end.y == pytest.approx(sketches[0].low - 0.3 * (sketches[0].low - 4))
    below, beyond = sketch([(10, -3.0), (20, 5.0)]), chart("Score", "", [(0, -3.0), (10, 103.0)], 10, most=100)
    assert below is not None and (below.bottom, below.top) == ("-100", "100")
    assert beyond is not None and [dot.y for dot in beyond.dots] == [
        HEIGHT - BOTTOM,
        pytest.approx(TOP + 47 * 120 / 153),
    ]


def test_a_sketch_begins_with_the_first_validation_and_has_numbers(tmp_path: Path) -> None:
    points = [(10, 40.0), (20, 50.0), (30, 45.0)]
    found = sketch(points, [(0, 5), (5, 20), (25, 40)])
    assert found is not None and (found.begin, found.until) == (10, 30)
    assert found.path.startswith(f"M{found.left:.1f} ") and found.end.x == found.width - 4
    middle = (found.left + found.width - 4) / 2
    assert found.bands[0] == (found.left, middle - found.left) and len(found.bands) == 2
    assert sum(found.bands[1]) == found.end.x
    assert sketch(points[:1]) is None
    folder = fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root"))
    page = render(read_run(folder))
    assert re.findall(r'y="67"[^>]*>(\d+)</text>', page) == ["10", "40"] * 5


def test_the_page_of_one_task_has_no_empty_column(tmp_path: Path) -> None:
    """Its curves stand side by side, once; its parts and the advice below each other; nothing else is to choose."""
    folder = fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root"))
    several = render(read_run(folder))
    assert '<div class="pair">' in several and several.count('<figure class="chart">') == 10
    assert 'class="sketches"' in several and "<label>Task" in several and 'class="task">' in several
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(tree | {"tasks": {"vqa": tree["tasks"]["vqa"]}}))
    lines = [line for line in fake_run.history() if line.get("task", "vqa") == "vqa"]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    results = json.loads((folder / "evaluation.json").read_text())
    (folder / "evaluation.json").write_text(json.dumps(results | {"tasks": {"vqa": results["tasks"]["vqa"]}}))
    records = [each for each in fake_run.predictions() if each.task == "vqa"]
    recorded.write(RunFolder(folder).predictions, records)
    page = render(read_run(folder))
    screen = page.partition('aria-label="Overview"')[2].partition('<nav aria-label="Contents"')[0]
    assert '<div class="pair single">' in screen and '<ol class="weak">' in screen
    assert screen.count('<figure class="chart">') == page.count('<figure class="chart">') == 2
    assert 'class="sketches"' not in page and "<label hidden>Task" in page and 'class="task" open>' in page


def test_the_only_task_has_more_examples_on_the_first_screen(tmp_path: Path) -> None:
    records = [each for each in fake_run.predictions() if each.task == "vqa"]
    shown = {"vqa": gallery(records, ImageFiles(DataRoot(fake_run.make_root(tmp_path))))}
    assert [card.mark for _, card in glimpses(["vqa"], shown)] == ["correct", "correct", "wrong", "wrong"]
    assert [card.mark for _, card in glimpses(["vqa", "other"], shown)] == ["correct", "wrong"]


def test_one_task_of_the_first_screen_has_boxes(tmp_path: Path) -> None:
    images = ImageFiles(DataRoot(fake_run.make_root(tmp_path), {"refcoco": "flickr30k"}))
    tasks = ("vqa", "flickr30k", "snli_ve", "refcoco")
    shown = {
        task: gallery([each for each in fake_run.predictions() if each.task == task], images) for task in fake_run.KINDS
    }
    assert list(dict(glimpses(tasks, shown))) == ["vqa", "flickr30k", "refcoco"]
    assert list(dict(glimpses(("vqa", "flickr30k", "snli_ve", "nlvr2"), shown))) == ["vqa", "flickr30k", "snli_ve"]
    tasks = ("vqa", "refcoco", "snli_ve", "nlvr2")
    assert list(dict(glimpses(tasks, shown))) == ["vqa", "refcoco", "snli_ve"]


def test_a_narrow_screen_keeps_the_best_baseline_and_the_interval(tmp_path: Path) -> None:
    page = render(read_run(fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))))
    cell = page.partition('<table class="overall">')[2].partition("</table>")[0]
    narrow = page.rpartition("@media (max-width: 760px)")[2].partition("</style>")[0]
    hidden = re.findall(r"\.overall ([^,{}]+) {[^}]*(?:display: none|position: absolute)", narrow)
    assert hidden == [
        "thead",
        "td[data-label]::before",
        ".none",
    ]  # each task is a block, with a label before each value
    for label, value in (
        ("Best baseline", "bag of words 27.4"),
        ("Lead", "-0.1 <span"),
        ("Normalised", "27<span"),
    ):
        assert re.search(rf'data-label="{label}">{re.escape(value)}', cell)
    assert cell.count('<td class="num none" data-label="Normalised">–</td>') == 4


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 1, [0, 0.5, 1]),
        (0.13, 0.42, [0.1, 0.2, 0.3, 0.4, 0.5]),
        (30, 30, [10, 20, 30, 40, 50]),
        (0, 7, [0, 2, 4, 6, 8]),
    ],
)
def test_ticks_are_round_and_hold_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_long_curves_are_averaged() -> None:
    points = [(at, float(at % 2)) for at in range(1, 1001)]
    short = thinned(points, 100)
    assert len(short) == 100 and short[0] == (10, 0.5) and short[-1][0] == 1000


def test_images_are_small_jpegs_with_the_originals_size(tmp_path: Path) -> None:
    root = fake_run.make_root(tmp_path)
    fake_run.draw_image(tmp_path / "images" / "coco" / "99.jpg", 1, (1600, 800))
    shown = ImageFiles(DataRoot(root)).show(CardImage("coco/99"))
    content = base64.b64decode(shown.uri.removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(content)).size == (SIDE, SIDE // 2) and (shown.width, shown.height) == (1600, 800)


def test_frames_end_at_the_image() -> None:
    frame = Frame((-5.0, 10.0, 400.0, 90.0), "wanted").within(300, 80)
    assert frame == Frame((0, 10.0, 300, 80), "wanted") and frame.size == (300, 70.0)


def test_what_is_missing_damaged_or_too_much_is_left_out(tmp_path: Path) -> None:
    root = fake_run.make_root(tmp_path)
    (tmp_path / "images" / "coco" / "98.jpg").write_bytes(b"no image")
    images = ImageFiles(DataRoot(root))
    assert images.show(CardImage("coco/98")).uri == "" == images.show(CardImage("coco/97")).uri
    assert images.missing == {"coco/98", "coco/97"}
    size = len(images.show(CardImage("coco/1")).uri)
    few = ImageFiles(DataRoot(root), budget=size + 10)
    assert few.show(CardImage("coco/1")).uri and not few.show(CardImage("coco/1")).uri and few.left_out == {"coco/1"}
    shown = gallery([each for each in fake_run.predictions() if each.task == "vqa"], ImageFiles(DataRoot(root), 10))
    assert "images were left out to keep the page small" in shown.note
    shown = gallery([each for each in fake_run.predictions() if each.task == "vqa"][:1], ImageFiles(DataRoot(root), 10))
    assert shown.note == "1 image was left out to keep the page small."


def test_examples_are_varied_and_the_first_ones() -> None:
    records = [each for each in fake_run.predictions() if each.task == "snli_ve"]
    twice = [replace(records[0], id="again"), *records]
    assert [each.id for each in varied(twice, 3)] == ["again", "1#1", "2#1"]
    assert len(varied(twice, 99)) == len(twice)


def test_examples_show_each_answer_in_turn() -> None:
    """All of one question: otherwise the first ones may all be "no"."""
    pattern = fake_run.predictions()[0]
    records = [
        replace(pattern, id=f"{row} {answer}", text="is it wet ?", images=(f"mine/{row}",), value=answer)
        for row, answer in enumerate(["no", "no", "no", "no", "yes", "no", "maybe", "yes"])
    ]
    assert [each.id for each in varied(records, 6)] == ["0 no", "4 yes", "6 maybe", "1 no", "7 yes", "2 no"]
    assert varied(records, 99) == varied(records, 99) and {each.id for each in varied(records, 99)} == {
        each.id for each in records
    }
    boxes = [each for each in fake_run.predictions() if each.kind == "region"]
    assert varied(boxes, 99) == boxes


@pytest.mark.parametrize("kind", OUTPUTS)
def test_every_kind_of_output_is_drawn_and_explained(kind: str) -> None:
    output, record = OUTPUTS[kind], fake_run.predictions()[0]
    value = {str: "cup", bool: True, int: 1, float: 1.5, list: (1.0, 2.0, 3.0, 4.0)}[output.values[-1]]
    parts = {"candidates": ((0.0, 0.0, 9.0, 9.0),) * 2, "options": ("this one", "that one")}
    kept = replace(record, kind=kind, value=value, target=value, alternatives=((value, 0.5),), **parts)
    card = draw(kept, ImageFiles(None))
    assert card.card.says and card.card.wanted and card.images and output.asks and output.legend


def test_a_caption_whose_image_is_far_down_shows_it_last(tmp_path: Path) -> None:
    wrong = next(each for each in fake_run.predictions() if each.kind == "alignment" and not each.right)
    card = draw(wrong, ImageFiles(None))
    assert [image.label for image in card.images] == ["1.", "2.", "3.", "4.", "5.", "23."]
    assert [image.own for image in card.images] == [False] * 5 + [True]


def result_of(tree: dict[str, Any]) -> TaskResult:
    return TypeAdapter(TaskResult).validate_python(tree)


def test_the_share_of_the_way_to_the_upper_bound() -> None:
    tree = fake_run.task_result("vqa", 30.0, {"majority": 10.0, "chance": 20.0})
    assert task_score(result_of(tree), {}).normalised is None
    assert task_score(result_of(tree | {"upper_bound": 60.0}), {}).normalised == pytest.approx(25.0)


def test_few_predictions_do_not_judge_the_scores(tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))
    tree = json.loads((folder / "evaluation.json").read_text())
    own, other = tree["tasks"]["vqa"], tree["tasks"]["snli_ve"]

    def page(*examples: int) -> str:
        own["calibration"] = [{"examples": count, "score": 0.5, "right": 0.9} for count in examples]
        (folder / "evaluation.json").write_text(json.dumps(tree))
        return render(read_run(folder))

    own["uncalibrated"] = "not calibrated: this needs 50 validation examples, the task has 6"
    few = page(1, 19)
    assert "VQA: too few predictions (20) to judge their confidence; 50 are needed." in few
    assert "<b>On average" not in few and 'class="chart reliability"' not in few and "Calibration error" not in few
    assert "not calibrated: this needs" not in few  # the scores are not judged at all
    enough = page(1, 49)
    assert "<b>On average too careful: " in enough and 'class="chart reliability"' in enough and "too few" not in enough
    assert "not calibrated: this needs" in enough
    other["calibration"] = [{"examples": 60, "score": 0.5, "right": 0.5}]
    both = page(1, 19)
    assert "VQA: too few predictions (20)" in both and "<b>On average about right: the mean confidence is 50%" in both


def test_bins_of_few_predictions_are_faint_and_no_line_leads_to_them(tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))
    tree = json.loads((folder / "evaluation.json").read_text())

    def drawn(*examples: int) -> tuple[list[str], str, str]:
        bins = [{"examples": count, "score": 0.35 + row / 10, "right": 0.5} for row, count in enumerate(examples)]
        tree["tasks"]["vqa"]["calibration"] = bins
        (folder / "evaluation.json").write_text(json.dumps(tree))
        chart = render(read_run(folder)).split('class="chart reliability"')[1].split("</figure>")[0]
        (path,) = re.findall(r'<path class="line" d="([^"]*)"', chart)
        return re.findall(r'<circle class="([^"]*)"', chart), path, chart

    dots, path, chart = drawn(40, 9, 10)
    assert dots == ["dot", "dot few", "dot"] and path == "M111.0 144.0 L155.0 144.0"
    assert "Large dots: many predictions; faint ones: fewer than 10. Thin lines" in chart
    dots, path, chart = drawn(40, 10)
    assert dots == ["dot", "dot"] and path.count("L") == 1 and "faint ones" not in chart
    _, _, chart = drawn(59, 1)
    assert "59 predictions with" in chart and "1 prediction with a confidence of about 45%: 50% correct<" in chart
    assert drawn(*[9] * 6)[:2] == (["dot few"] * 6, "")


def test_scores_that_are_not_calibrated_are_not_called_probabilities(tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))
    told = "compare these percentages with each other, do not read them as probabilities."
    page = render(read_run(folder))
    assert page.count("each with its own confidence") == 2 and told not in page  # beside right and wrong examples
    tree = json.loads((folder / "evaluation.json").read_text())
    tree["tasks"]["vqa"]["uncalibrated"] = "not calibrated: this needs 50 validation examples, the task has 6"
    tree["tasks"]["nlvr2"]["uncalibrated"] = "not calibrated"
    tree["tasks"]["refcoco"]["uncalibrated"] = "not calibrated"  # its examples have frames, no bars
    (folder / "evaluation.json").write_text(json.dumps(tree))
    page = render(read_run(folder))
    legend = "each with its own confidence; ✓ marks what is correct. Not calibrated (this needs 50 validation examples"
    assert page.count(legend) == 2
    assert page.count(f"marks what is correct. Not calibrated: {told}") == 2 and page.count(told) == 4
    assert "probability of each class" not in page and "the confidence of each class" in page


def test_a_task_of_ones_own_is_not_told_in_the_words_of_a_dataset(tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))
    evaluation, data = (
        json.loads((folder / "evaluation.json").read_text()),
        json.loads((folder / "data.json").read_text()),
    )
    config = yaml.safe_load((folder / "config.yaml").read_text())
    mine = {"kind": "answer", "train": "mine.jsonl", "test_split": "check.jsonl"}
    result = evaluation["tasks"]["vqa"] | {"task": "mine", "title": "mine"}
    result["protocol"] |= {"split": "check.jsonl", "boxes": "given"}

    def page(*others: str) -> str:
        tasks = {name: config["tasks"][name] for name in others} | {"mine": mine}
        (folder / "config.yaml").write_text(yaml.safe_dump(config | {"tasks": tasks}, sort_keys=False))
        results = {name: evaluation["tasks"][name] for name in others} | {"mine": result}
        (folder / "evaluation.json").write_text(json.dumps(evaluation | {"tasks": results}))
        data["files"] = {f"{name}.jsonl": {"bytes": 9, "sha256": "7" * 64} for name in ("mine", "check", *others)}
        (folder / "data.json").write_text(json.dumps(data))
        return render(read_run(folder)).partition("The complete configuration")[0]

    (folder / "predictions.jsonl").unlink()
    alone = page()
    assert "fficial" not in alone and "dataset" not in alone and "<dt>protocol</dt>" not in alone
    assert ">Metric</th>" in alone and "The metric on your test file; higher" in alone
    assert "<dt>your test file</dt><dd>check.jsonl</dd>" in alone and "your test file gives them" not in alone
    assert "Share of the questions that are answered correctly." in alone and "<dt>equal scores</dt>" not in alone
    assert "Test images were removed from the training set. Some" in alone and "any task" not in alone
    config["model"] = {"init": "base"}
    told = "removed from the training set; those that the base model was trained on were not compared. Some"
    assert told in page()
    del config["model"]
    overlap, data["cleaned"]["overlap"] = data["cleaned"]["overlap"], {}
    for others, where in ((), "the training set"), (("vqa",), "a training set, of any task"):
        found = page(*others)
        told = f"No test image was found in {where}. Some of the training images were held out for validation."
        assert told in found and "were removed from" not in found
    data["cleaned"]["overlap"] = overlap
    result["protocol"] |= {"note": MARKS}
    marked = page()
    assert "Your test file sets the marks" in marked and "<dt>equal scores</dt>" in marked
    assert "2 of your files read" in alone and "given by your files" in alone
    beside = page("vqa")
    assert "<dt>your test file</dt><dd>check.jsonl</dd>" in beside and "<dt>protocol</dt><dd>official</dd>" in beside
    assert "as the dataset&#39;s own scorer gives them" in beside and "Your test file sets the marks" in beside
    assert "Images of any task's test sets were removed" in beside
    assert "3 files, 2 of them yours, read" in beside and ">Metric</th>" in beside
    for name in ("evaluation.json", "data.json"):
        (folder / name).unlink()
    unmeasured = render(read_run(folder))
    assert "There is no test score and no baseline" in unmeasured


def test_chance_says_among_how_many_answers(tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))
    tree = json.loads((folder / "evaluation.json").read_text())
    chance = {"name": "chance", "score": 1.0, "advantage": fake_run.interval(20.0)}
    for result in tree["tasks"].values():
        result["baselines"]["chance"] = chance
    (folder / "evaluation.json").write_text(json.dumps(tree))
    page = render(read_run(folder))
    assert page.count("An answer drawn at random: 1 of the model&#39;s 118 answers.") == 1  # VQA's alone
    assert page.count("A choice, or an order, drawn at random.") == len(fake_run.KINDS) - 1
    (folder / "data.json").unlink()
    assert render(read_run(folder)).count("A choice, or an order, drawn at random.") == len(fake_run.KINDS)


@pytest.mark.parametrize(
    "low, high, verdict",
    [
        (0.1, 5.0, "better"),
        (-0.1, 5.0, "undecided"),
        (-5.0, -0.1, "worse"),
    ],
)
def test_a_baseline_is_beaten_when_the_whole_interval_is_above_zero(low: float, high: float, verdict: str) -> None:
    tree = fake_run.task_result("vqa", 30.0, {"majority": 10.0})
    tree["baselines"]["majority"]["advantage"] = {"mean": (low + high) / 2, "low": low, "high": high}
    score = task_score(result_of(tree), {})
    assert score.baselines[0].standing == verdict and score.beats_all == (verdict == "better")


def test_a_metric_is_explained_with_its_part() -> None:
    assert "first five" in metric("image to text R@5", {}) and "each image" in metric("image to text R@5", {})
    assert "correct text" in metric("R@5", OUTPUTS["options"].metrics)
    assert "“number”" in metric("accuracy, number", OUTPUTS["answer"].metrics)
    assert metric("something new", {}) == metric("accuracy", {}) == "Computed by the official scorer of the dataset."
    assert metric("accuracy", {}, owner="code") == "Computed by the code of your task."


def test_what_a_score_is_names_every_kind_of_task() -> None:
    assert metrics({"dataset"}) == "The official metric of the dataset"
    assert metrics({"code"}) == "The metric that the code of your task defines"
    of_both = "The official metric of a dataset, or the metric on your test file"
    assert metrics({"file", "dataset"}) == of_both
    assert metrics({"file", "dataset", "code"}) == f"{of_both}, or the metric that the code of your task defines"


def test_every_kind_of_bar_has_a_style() -> None:
    templates = Path(str(report.__file__)).parent / "templates"
    kinds = {
        kind for path in templates.glob("*.html") for kind in re.findall(r'scale\([^,]+, "(.+?)"', path.read_text())
    }
    style = (templates / "style.css").read_text()
    assert kinds >= {"model", "upper_bound"}
    assert not [
        kind for kind in kinds - {"baseline"} if f"\n.{kind} .fill" not in style
    ]  # a baseline's is the plain one


def test_what_differs_between_the_machines_is_told(tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))
    rows = [("processor", "Test CPU"), ("cores", "2"), ("torch", "2.9")]
    assert machine(read_run(folder)) == rows
    tree = json.loads((folder / "evaluation.json").read_text())
    tree["facts"]["machine"]["cores"] = 8
    (folder / "evaluation.json").write_text(json.dumps(tree))
    assert machine(read_run(folder)) == [*rows, ("evaluation: cores", "8")]


def test_the_tables_of_a_task_fit_a_narrow_screen(tmp_path: Path) -> None:
    page = render(read_run(fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))))
    parts = page.partition('<table class="stack" aria-label="Parts of VQA v2">')[2].partition("</table>")[0]
    for label in ("Examples", "Score", "Best baseline", "Lead"):
        assert f'data-label="{label}"' in parts
    assert ".columns > * { min-width: 0; }" in page and ".facts > * { overflow-wrap: anywhere; }" in page
    assert '<td class="gloss"></td>' not in page  # which would keep its width


def test_splits_that_could_not_be_held_out_are_told_if_they_may_matter(tmp_path: Path) -> None:
    folder = fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))
    file = folder / "data.json"
    tree = json.loads(file.read_text())
    tree["cleaned"]["skipped"] = {"vqa test": "no such file", "nlvr2 test": NO_FOLDER, "nlvr2 dev": NO_FOLDER}

    def told(**samples: str) -> set[str]:
        file.write_text(json.dumps(tree | {"region_samples": {f"{source}/1": "x" for source in samples}}))
        run = read_run(folder)
        words = f"{len(unread(run))} evaluation split" if unread(run) else "evaluation split"
        assert "could not be read" not in render(run)  # it is no error
        assert (words in render(run)) == bool(unread(run))
        return set(unread(run))

    assert told() == told(coco="", mine="") == {"vqa test", "nlvr2 test", "nlvr2 dev"}
    assert told(mine="") == {"vqa test"}  # no dataset shows one's own images
    absent = "there is no vqa/v2_OpenEnded_mscoco_test2015_questions.json"
    assert unread(read_run(folder)) == {"vqa test": absent} and absent in render(read_run(folder))
    assert "1 evaluation split is not in the data, which changes nothing on this page" in render(read_run(folder))
    tree["cleaned"]["skipped"] |= {"vqa gone": "no such file", "gone test": "no such file"}
    told(mine="")
    assert unread(read_run(folder)) == {"vqa test": absent, "vqa gone": "no such file", "gone test": "no such file"}
    assert "3 evaluation splits are not in the data" in render(read_run(folder))
    why = "unknown which images are also in COCO: no image_data.json"
    tree["cleaned"]["skipped"] = {"nlvr2 test": NO_FOLDER, f"vqa{ELSEWHERE}": why, f"gone{ELSEWHERE}": why}
    assert told(mine="") == set()
    assert unlinked(read_run(folder)) == {"VQA v2": why, "gone": why}
    page = render(read_run(folder))
    assert "The images of 2 datasets could not be compared" in page and "changes nothing" not in page


def test_answers_that_are_right_in_part_are_told_apart() -> None:
    def carded(target: dict[str, float], said: str) -> str:
        shares = (("yes", 0.9), ("no", 0.35), ("left", 0.004), ("nope", 0.001))
        record = RecordedPrediction("vqa", "answer", "val", "7", "is it?", ("x/1",), target, said, 0.9, shares, 0.3)
        shown = draw(record, ImageFiles(None))
        return " ".join(re.sub(r"<[^>]*>", " ", template().module.card(shown)).split())  # type: ignore[attr-defined]

    text = carded({"no": 1.0, "nope": 0.6, "not really": 0.6, "yes": 0.3, "maybe": 0.0}, "yes")
    assert "Correct no; partly correct: nope, not really (60 of 100), yes (30)" in text
    assert "yes 90% ✓ no 35% ✗ partly correct: 30 of 100" in text and "✓ yes" not in text  # no bar of a score of 0%
    assert "✓ no 35% ✓ nope 0%" in carded({"no": 0.6, "nope": 0.6}, "yes")  # none is correct in full
    assert "Correct no accepted answer" in carded({}, "yes")


def template() -> Template:
    return Environment(loader=PackageLoader("twelve.report"), autoescape=True, trim_blocks=True).get_template(
        "parts.html"
    )
