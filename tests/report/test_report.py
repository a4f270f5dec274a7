"""The page of a run: what it says, that nothing in it can harm or is fetched, and what it does without parts."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import fake_run
import pytest
import yaml

from twelve.errors import ConfigError, DataError, TwelveError
from twelve.evaluation import recorded
from twelve.report.image_files import BUDGET
from twelve.report.write import write_report
from twelve.run_folder import RunFolder
from twelve.types.predictions import RecordedPrediction


class Page(HTMLParser):
    """Tags with their attributes, the visible text, and what a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).replace("\xa0", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes <{self.open[-1:]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and "script" not in self.open:
            self.words.append(data)

    def fetched(self) -> list[str]:
        names = ("src", "href", "xlink:href", "srcset", "poster", "data", "action")
        return [str(attrs[name]) for _, attrs in self.tags for name in names if name in attrs]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run.make_root(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def html(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    run = fake_run.make(tmp_path_factory.mktemp("runs") / "first", root, text=fake_run.NASTY)
    path = write_report(run)
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes")
@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
@pytest.mark.parametrize(
    "name", ["config.yaml", "data.json", "machine.json", "evaluation.json", "metrics.jsonl", "predictions.jsonl"]
)
def test_what_is_no_file_is_not_taken_for_nothing(root: Path, tmp_path: Path, name: str, what: str) -> None:
    """Nor waited for: a run whose files are pipes has lost none of them."""
    run = fake_run.make(tmp_path / "run", root)
    (run / name).unlink()
    if what == "pipe":
        os.mkfifo(run / name)
    elif what == "device":
        (run / name).symlink_to("/dev/zero")
    else:
        (run / name).mkdir()
    said = f"expected a regular file, found a {'folder' if what == 'folder' else 'pipe or a device'}"
    with pytest.raises(TwelveError, match=rf"run/{name}: {said}.* -> "):
        write_report(run)


def test_scores_baselines_and_verdicts_are_said_in_words(page: Page) -> None:
    assert "On 3 of 5 tasks, the model is better than every baseline (a guess that does not see" in page.text
    assert "27.3 24.3 to 30.3" in page.text and "Confidence and confusions" in page.text
    assert "+2.9 undecided" in page.text and "-2.2 worse" in page.text  # 50.1 against 55.3 - 3
    assert "Score (0–100), 95% interval" in page.text and "Scores from 0 to 100, with 95% intervals" in page.text
    assert "significant" not in page.text and "beats every baseline" not in page.text
    told = "Only a score above it shows that the model uses the image. Bag of words: a text-only model; "
    majority = "; majority: always giving the most frequent answer of the evaluated split; "
    assert page.text.count(told) == 1 and majority in page.text
    assert "One training run (one seed): " in page.text and "another seed may differ by more." in page.text
    assert "bag of words 27.4 -0.1 -3.1 to +2.9" in page.text
    assert "gallery 100 images" in page.text and "split dev" in page.text and "measured carefully" in page.text
    for meaning in ("known in hindsight only", "own image is ranked first", "without any image", "95% interval"):
        assert meaning in page.text


def test_the_place_between_baseline_and_upper_bound_is_computed(page: Page) -> None:
    share = 100 * (68.6 - 63.8) / (81.3 - 63.8)
    assert f"{share:.0f} normalised score" in page.text and "81.3" in page.text and "closed" not in page.text


def test_data_machine_times_and_commands(page: Page) -> None:
    assert "10 images removed: 7 in Flickr30k retrieval test; 3 in SNLI-VE test." in page.text
    assert "118 answers cover 80%" in page.text and "there is no vqa/v2_OpenEnded" in page.text
    assert "Test CPU" in page.text and "evaluation, including baselines 1 min 2 s" in page.text
    assert "training, including validation 1 min 20 s" in page.text
    for command in ("twelve train ", "twelve evaluate ", "twelve report "):
        assert command in page.text
    train, evaluate, report = page.text[page.text.index("Commands that repeat this run") :].split("twelve ")[1:4]
    assert train.startswith("train ") and "-again" in train
    assert evaluate.startswith("evaluate ") and report.startswith("report ")
    assert "-again" in evaluate and "-again" in report  # not the run of this page


def test_which_tasks_were_stopped_when(page: Page) -> None:
    assert "Flickr30k retrieval stopped 20 to 30" in page.text
    assert "SNLI-VE stopped 30 to 40" in page.text and "Never stopped: VQA v2, RefCOCO, NLVR2." in page.text
    stopped = [attrs["style"] for tag, attrs in page.tags if attrs.get("class") == "stopped"]
    assert stopped == ["left:50.00%;width:25.00%", "left:75.00%;width:25.00%"]


def test_who_trained_when_is_not_shown_when_nobody_stopped(root: Path, tmp_path: Path) -> None:
    run = fake_run.make(tmp_path / "run", root)
    lines = [line for line in fake_run.history() if line["kind"] != "event"]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    assert "Training schedule" not in text and "ever stopped" not in text


def test_every_task_shows_correct_and_wrong_ones(page: Page) -> None:
    cards = [attrs["class"] for tag, attrs in page.tags if tag == "article"]
    assert cards.count("card correct") == 15 and cards.count("card wrong") == 15
    assert "partly correct: 30 of 100" in page.text and "puts another image first" in page.text
    assert (
        "in place 23 of the gallery" in page.text and "overlap by" in page.text and "out of 3 candidates" in page.text
    )
    frames = [attrs["class"] for tag, attrs in page.tags if tag == "rect" and "frame" in str(attrs.get("class"))]
    assert frames.count("frame wanted") == frames.count("frame predicted") == 8 and "frame candidate" in frames


def test_the_first_screen_shows_examples_of_the_weakest_tasks(html: str, tmp_path: Path) -> None:
    screen = html.partition('aria-label="Overview"')[2].partition("Where it is weak")[0]
    assert re.findall(r'<li class="(correct|wrong)">', screen) == ["correct", "wrong"] * 3
    assert screen.count("data:image/jpeg") >= 6 and "image not available" not in screen
    low = html.partition("Where it is weak")[2].partition("What next")[0]
    weakest = list(dict.fromkeys(re.findall(r'<a href="#task-(\w+)"', low)))
    shown = [*weakest[:2], "refcoco"]  # one of them has boxes
    assert 'under">the dashed frame; correct: the solid frame</span>' in screen and "overlap" not in screen
    assert re.findall(r'<a href="#task-(\w+)"', screen) == re.findall(r'<a href="#wrong-(\w+)"', screen) == shown
    run = fake_run.make(tmp_path / "run", fake_run.make_root(tmp_path / "root", with_images=False))
    assert '<ul class="glimpses"' not in write_report(run).read_text(encoding="utf-8")


def test_text_from_data_is_escaped(html: str, page: Page) -> None:
    assert fake_run.NASTY in page.text  # said as it is, as text
    assert html.count("<script") == 1 and "bad.example/x.png>" not in html
    assert html.count("&lt;script&gt;") > 5  # in a question, an answer, a part and a confusion
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert page.open == []  # and every tag that was opened was closed


def test_nothing_is_fetched(html: str, page: Page) -> None:
    fetched = page.fetched()
    assert fetched and all(address.startswith(("data:image/jpeg;base64,", "#")) for address in fetched)
    assert not any(tag in ("link", "iframe", "object", "base") for tag, _ in page.tags)
    assert [attrs for tag, attrs in page.tags if tag == "script"] == [{}]  # one, inside the page
    assert not re.search(r"fetch\(|XMLHttp|import|innerHTML|eval", html.partition("<script>")[2])
    assert re.findall(r"url\((?!#)", html) == [] and "@import" not in html
    targets = {attrs.get("id") for _, attrs in page.tags}
    assert {address[1:] for address in fetched if address.startswith("#")} <= targets
    assert len(html) < BUDGET + 500_000


def test_the_same_run_gives_the_same_page(root: Path, tmp_path: Path) -> None:
    run = fake_run.make(tmp_path / "run", root)
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_a_run_that_was_not_measured(root: Path, tmp_path: Path) -> None:
    page = Page(write_report(fake_run.make(tmp_path / "run", root, measured=False)).read_text(encoding="utf-8"))
    assert "Not evaluated. 40 iterations are done" in page.text and "Run twelve evaluate" in page.text
    assert "Training curves" in page.text and "Correct predictions" not in page.text
    assert "Wrong examples" not in page.text and "Confidence and confusions" not in page.text


def test_a_run_without_images_is_shown_without_them(tmp_path: Path) -> None:
    root = fake_run.make_root(tmp_path / "root", with_images=False)
    page = Page(write_report(fake_run.make(tmp_path / "run", root)).read_text(encoding="utf-8"))
    assert "of these images are not in" in page.text and "image not available" in page.text
    gone = Page(write_report(fake_run.make(tmp_path / "other", tmp_path / "gone")).read_text(encoding="utf-8"))
    assert "is not on this machine" in gone.text


def test_measured_without_predictions_or_baselines(root: Path, tmp_path: Path) -> None:
    run = fake_run.make(tmp_path / "run", root)
    RunFolder(run).predictions.unlink()
    tree = json.loads((run / "evaluation.json").read_text())
    for task in tree["tasks"].values():
        task["baselines"] = {}
    (run / "evaluation.json").write_text(json.dumps(tree))
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "no recorded predictions" in page.text and "The baselines were not measured" in page.text
    assert "it is not known whether the model uses the images" in page.text and "Measure the baselines." in page.text


def test_a_run_that_has_only_begun(root: Path, tmp_path: Path) -> None:
    run = fake_run.make(tmp_path / "run", root, measured=False)
    for name in ("metrics.jsonl", "data.json", "machine.json"):
        (run / name).unlink()
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "has not logged an iteration yet" in page.text and "data.json is missing" in page.text


def test_mistakes_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run here, the folder does not exist -> train one: twelve train"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds no run"):
        write_report(tmp_path)
    run = fake_run.make(tmp_path / "run", root)
    write_report(run)
    before = (run / "report.html").read_bytes()
    (run / "evaluation.json").write_text("{")
    with pytest.raises(DataError, match=r"evaluation\.json.*twelve evaluate"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("facts", "parameters"), "many"),
        (("facts", "parameters"), 10**4000),
        (("facts", "machine"), {"processor": "\ud800"}),
        (("tasks", "vqa", "score"), True),
        (("tasks", "vqa", "baselines", "majority"), {}),
        (("tasks", "vqa", "metric"), None),
    ],
)
def test_an_evaluation_that_is_none_is_named(place: tuple[str, ...], value: object, root: Path, tmp_path: Path) -> None:
    run = fake_run.make(tmp_path / "run", root)
    tree = json.loads((run / "evaluation.json").read_text())
    node = tree
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    (run / "evaluation.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"evaluation\.json.* -> .*evaluat"):
        write_report(run)


@pytest.mark.parametrize(
    ("place", "value"),
    [(("tasks",), 3), (("tasks", "vqa"), "x"), (("cleaned", "overlap", "vqa", "vqa test"), "x"), (("coverage",), [1])],
)
def test_data_of_another_kind_are_named(place: tuple[str, ...], value: object, root: Path, tmp_path: Path) -> None:
    run = fake_run.make(tmp_path / "run", root)
    tree = json.loads((run / "data.json").read_text())
    node = tree
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    (run / "data.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=rf"data\.json \[{'.'.join(place)}\].*, found .* -> it is written again by"):
        write_report(run)


def test_a_dialogue_is_shown_as_questions_and_answers(root: Path, tmp_path: Path) -> None:
    run = fake_run.make(tmp_path / "run", root)
    tree = yaml.safe_load(RunFolder(run).config.read_text())
    RunFolder(run).config.write_text(
        yaml.safe_dump(tree | {"tasks": tree["tasks"] | {"guesswhat": {}}}, sort_keys=False)
    )
    text = "start is there a stop start or an end ? answer No stop start Is it a cup ? answer N/A stop"
    box = ((1.0, 2.0, 30.0, 40.0), (50.0, 60.0, 70.0, 80.0))
    records = [
        RecordedPrediction("guesswhat", "region", "test", str(row), text, (f"coco/{row}",), 0, row, 0.5,
                           ((row, 0.5),), float(row == 0), box) for row in (0, 1)
    ]  # fmt: skip
    recorded.write(RunFolder(run).predictions, [*fake_run.predictions(), *records])
    html = write_report(run).read_text(encoding="utf-8")
    assert "is there a stop start or an end ? No\nIs it a cup ? N/A" in html
    assert "answer No stop" not in html


def test_how_examples_were_chosen_is_said_once(html: str, page: Page, root: Path, tmp_path: Path) -> None:
    assert page.text.count("hand-picked") == page.text.count("examples of the split (or all, if there") == 1
    assert "hand-picked" in html.partition("<h2>Tasks</h2>")[2].partition("<details")[0]  # seen without a click
    run = fake_run.make(tmp_path / "run", root)
    (run / "predictions.jsonl").unlink()
    assert "hand-picked" not in write_report(run).read_text(encoding="utf-8")


def test_every_curve_is_visible_at_once(html: str) -> None:
    screen = html.partition('aria-label="Overview"')[2].partition('<nav aria-label="Contents"')[0]
    curves = screen.partition('class="sketches"')[2]
    assert len(re.findall("<svg", curves)) == 5 and curves.count("url(#hatch)") == 2
    assert 'aria-label="VQA v2: validation score from 25.0 to 40.0"' in curves


def test_why_validation_scores_of_retrieval_are_higher_is_said_at_the_curves(html: str) -> None:
    easier = (
        "the share of choices of the right one among 4 pairs of a caption and an image, not among a gallery of images"
    )
    screen = html.partition('aria-label="Overview"')[2].partition('class="sketches"')[0]
    assert f"not the official scores. Flickr30k retrieval: {easier}, so it is usually higher" in screen
    assert html.count(f"held out for validation; not the official number. It is {easier}, so it is") == 1


def test_intervals_are_said_to_be_of_one_seed_where_the_scores_are(html: str) -> None:
    weakest, scores = (html.partition(f"<h2>{title}</h2>")[2] for title in ("Where it is weak", "Scores"))
    assert "95% intervals over examples, of one training run." in weakest.partition('<ol class="weak">')[0]
    assert "(one seed): the 95% intervals are over test examples only" in scores.partition("<table")[0]
    assert html.count("another seed may differ by more") == 1


def test_no_text_of_the_first_screen_is_cut(html: str) -> None:
    style = html.partition("</style>")[0]
    assert "line-clamp" not in style and "ellipsis" not in style
    assert not re.search(r"\.glimpses[^{]*\{[^}]*(display: none|overflow:|height: 0)", style)


def test_on_a_phone_the_examples_follow_the_answers(html: str) -> None:
    style = html.partition("</style>")[0].rpartition("@media (max-width: 760px)")[2]
    assert "#overview { display: flex; flex-direction: column; } .glimpses { order: 1; }" in style
    assert "#curves, .curves { order: 2; }" in style


def test_images_are_shown_whole(html: str) -> None:
    style = html.partition("</style>")[0]
    assert "object-fit: cover" not in style and style.count("object-fit: contain") == 2


def test_a_long_text_of_the_first_screen_leads_to_the_whole(root: Path, tmp_path: Path) -> None:
    run = fake_run.make(tmp_path / "run", root)
    long = "\n".join(f"Is it number {number} on the table? No" for number in range(6))
    records = [replace(each, text=long) if each.task == "nlvr2" else each for each in fake_run.predictions()]
    recorded.write(RunFolder(run).predictions, records)
    html = write_report(run).read_text(encoding="utf-8")
    screen = html.partition('aria-label="Overview"')[2].partition("Where it is weak")[0]
    assert 'asked">Is it number 0 on the table? No\nIs it number 1 on the table? <a href="#task-nlvr2"' in screen
    assert '1 on the table? <a href="#wrong-nlvr2" title="the whole text, below">…' in screen
    assert "number 2" not in screen
    assert 'id="task-nlvr2"' in html and 'id="wrong-nlvr2"' in html and long in html
    assert 'asked">both show' not in screen and "the whole text" in screen
    assert screen.count("…") == 2  # no other text is long


def test_a_short_example_comes_first(root: Path, tmp_path: Path) -> None:
    run = fake_run.make(tmp_path / "run", root)
    records = [
        replace(record, text="word " * 60) if record.id in ("dev-0-0-0", "dev-1-0-0") else record
        for record in fake_run.predictions()
    ]
    recorded.write(RunFolder(run).predictions, records)
    screen = write_report(run).read_text(encoding="utf-8").partition("Where it is weak")[0]
    assert "word word" not in screen and "both show 2 things" in screen
