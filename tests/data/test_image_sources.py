"""Images that belong to another source than the task's own: said where they are missed, told on the command line."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_own
import yaml
from PIL import Image
from test_clean import Invented
from typer.testing import CliRunner

from twelve import cli
from twelve.config import parse
from twelve.data.examples.reading import read_examples
from twelve.data.exclusions import find_exclusions
from twelve.data.prepare import prepare
from twelve.data.sources import elsewhere, parse_sources
from twelve.errors import ConfigError, DataError, MissingData, RegionError
from twelve.formats.data_root import DataRoot
from twelve.formats.mistaken import SECTION
from twelve.runs.own_task import make
from twelve.settings import TaskSettings
from twelve.tasks import base
from twelve.tasks.custom import KINDS, from_settings
from twelve.tasks.formats.tables import given_as_table


def images(root: Path, source: str, *names: str) -> None:
    (root / "images" / source).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(root / "images" / source / name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """RefCOCO in the layout of :mod:`tiny`; its images are files of flickr30k, without regions."""
    root = tiny.make(tmp_path / "root", train=4, val=2)
    (root / "sources.json").unlink(missing_ok=True)
    for file in (root / "regions").rglob("*.arrow"):
        file.unlink()
    keys = {image.partition("/")[2] for split in ("train", "val") for image in images_of(root, split)}
    images(root, "flickr30k", *(f"{key}.jpg" for key in sorted(keys)))
    return root


def images_of(root: Path, split: str) -> list[str]:
    return list(dict.fromkeys(example.images[0] for example in base.get("refcoco").read(DataRoot(root), split)))


def run(*words: object) -> Any:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def test_check_says_where_the_images_are_and_the_remedy_works(root: Path) -> None:
    shown = run("data", "check", root, "--task", "refcoco")
    assert shown.exit_code == 1 and "cannot run" in shown.output
    assert "4 of 4 have the names of images in images/flickr30k" in shown.output
    assert "--source refcoco=flickr30k" in shown.output and '{"refcoco": "flickr30k"}' in shown.output
    assert "have neither" not in run("data", "check", root, "--task", "refcoco", "--source", "refcoco=flickr30k").output
    (root / "sources.json").write_text('{"refcoco": "flickr30k"}')
    assert "have neither" not in run("data", "check", root, "--task", "refcoco").output


def test_a_few_that_are_missing_are_no_other_source(root: Path) -> None:
    images(root, "coco", *(f"{image.partition('/')[2]}.jpg" for image in images_of(root, "train")[:2]))
    shown = run("data", "check", root, "--task", "refcoco").output
    assert "have neither a file nor regions" in shown and "train: error: 2 of 4" in shown
    assert "images/flickr30k" not in shown.split("train: error:")[1].splitlines()[0]


def test_files_that_name_their_source_are_moved(tmp_path: Path) -> None:
    images(tmp_path, "mine", "COCO_train2014_000000000007.jpg")
    found = elsewhere(DataRoot(tmp_path), base.get("vqa"), ["coco/7"])
    assert found is not None and "move these into images/coco" in found and "--source" not in found


def test_clean_warns_of_both(tmp_path: Path) -> None:
    tasks = {"a": Invented(train=["x/1", "x/2"]), "b": Invented(train=["z/1"], test=["x/2"])}
    for name, task in tasks.items():
        task.name = name  # type: ignore[misc]
    tasks["b"].source = "z"  # type: ignore[misc]
    bare = find_exclusions(DataRoot(tmp_path), tasks=tasks, progress=False)
    assert bare.warnings == (
        "a: not one image is here (source x), so they were compared by their ids alone",
        "b: not one image is here (source x, z), so they were compared by their ids alone",
    )
    assert not find_exclusions(DataRoot(tmp_path), tasks=tasks, pixels=False, progress=False).warnings
    images(tmp_path, "w", "1.png", "2.png")
    for pixels in (True, False):
        found = find_exclusions(DataRoot(tmp_path), tasks=tasks, pixels=pixels, progress=False)
        assert "2 of 2 have the names of images in images/w: if these are the images, use --source a=w" in str(found)
    found = find_exclusions(DataRoot(tmp_path, {"a": "w", "b": "w"}), tasks={"a": tasks["a"]}, progress=False)
    assert "x/1" not in str(found)
    images(tmp_path, "x", "1.png")
    assert not [w for w in find_exclusions(DataRoot(tmp_path), tasks=tasks, progress=False).warnings if w[0] == "a"]


def test_clean_and_stats_take_sources(root: Path, tmp_path: Path) -> None:
    shown = run("data", "clean", root, "--out", tmp_path / "out", "--source", "refcoco=flickr30k").output
    assert "--source refcoco=" not in shown
    record = json.loads((tmp_path / "out" / "refcoco.json").read_text())
    assert record["examples_before"] == 12
    assert run("data", "stats", root, "--task", "refcoco", "--source", "refcoco=flickr30k").exit_code == 0
    warned = run("data", "clean", root, "--out", tmp_path / "out").output
    assert "warning: refcoco: none of its" in warned and "--source refcoco=flickr30k" in warned


def test_reasons_are_told_once_and_datasets_that_are_not_here_not_at_all(tmp_path: Path) -> None:
    tasks = {"a": Invented(train=["x/1"]), "b": Invented(), "c": Invented()}

    def left_out() -> list[str]:
        found = find_exclusions(DataRoot(tmp_path), tasks=tasks, progress=False)
        return [line for line in str(found).splitlines() if line.startswith("left out:")]

    assert left_out() == []
    (tmp_path / tasks["a"].folder).mkdir()
    assert left_out() == ["left out: a test, b test, c test, b train, c train (no such file)"]


def test_words_that_are_no_source() -> None:
    assert parse_sources(["vqa=mine", "refcoco+=x"]) == {"vqa": "mine", "refcoco+": "x"}
    for word in ("vqa", "=x", "vqa="):
        with pytest.raises(ConfigError, match=r"is not TASK=SOURCE -> give"):
            parse_sources([word])
    with pytest.raises(ConfigError, match=r'unknown task .refcocoo. \(did you mean "refcoco'):
        parse_sources(["refcocoo=x"])


def own_config(root: Path, tmp_path: Path) -> Path:
    file = tmp_path / "mugs.yaml"
    mugs = tiny_own.settings(root, "answer", train=4, val=2)
    file.write_text(yaml.safe_dump(tiny.tree(root, tmp_path / "run", sources={}, tasks={"mugs": mugs})))
    return file


def test_tasks_of_ones_own_are_checked_and_counted(tmp_path: Path) -> None:
    root = tiny.make(tmp_path / "root", train=4, val=2)
    with pytest.raises(ConfigError, match=r"unknown task 'mugs'.*--config FILE"):
        CliRunner().invoke(cli.app, ["data", "check", str(root), "--task", "mugs"], catch_exceptions=False)
    config = own_config(root, tmp_path)
    for words in (["--task", "mugs"], []):
        shown = run("data", "check", root, "--config", config, *words).output
        assert "mugs (mugs): can" in shown and "answer/train.jsonl: 4 examples on 4 images" in shown
        assert "mugs answer/val.jsonl: 2 examples" in run("data", "stats", root, "--config", config, *words).output
    (root / "answer" / "val.jsonl").unlink()
    assert "missing answer/val.jsonl" in run("data", "check", root, "--config", config).output


def test_settings_change_the_configuration_of_what_is_checked(tmp_path: Path) -> None:
    root = tiny.make(tmp_path / "root", train=4, val=2)
    config = own_config(root, tmp_path)
    (root / "answer" / "train.jsonl").rename(root / "moved.jsonl")
    assert "missing answer/train.jsonl" in run("data", "check", root, "--config", config).output
    for command, told in (("check", "moved.jsonl: 4 examples"), ("stats", "mugs moved.jsonl: 4 examples")):
        words = ["data", command, root, "--config", config, "--set", "tasks.mugs.train=moved.jsonl"]
        assert told in run(*words).output
    for words, told in (
        ([], r"^--set seed=1: there is no configuration to change -> add --config FILE"),
        (["--config", config, "--set", "tasks.mugs.kind=answr"], r"^--set tasks.mugs.kind=answr .*did you mean"),
    ):
        asked = ["data", "check", root, "--set", "seed=1", *words]
        with pytest.raises(ConfigError, match=told):
            CliRunner().invoke(cli.app, [str(word) for word in asked], catch_exceptions=False)


def test_data_check_notes_that_the_configuration_has_another_data_root(tmp_path: Path) -> None:
    root = tiny.make(tmp_path / "root", train=4, val=2)
    config = own_config(root, tmp_path)
    asked = ["data", "check", str(root), "--config", str(config)]
    assert "note: this checks" not in CliRunner().invoke(cli.app, asked).stderr
    said = CliRunner().invoke(cli.app, [*asked, "--set", "data=other"]).stderr
    assert said.endswith(f"note: this checks {root}; the data root of {config} is other\n")


@pytest.mark.parametrize(("command", "told"), [("check", "mugs (mugs): "), ("stats", "mugs answer/train.jsonl: ")])
def test_another_data_root_than_that_of_the_configuration(
    command: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is to be moved into it."""
    root = tiny.make(tmp_path / "my data", train=4, val=2)
    config = own_config(root, tmp_path)
    monkeypatch.chdir(tmp_path)
    for wrong in (".", "nowhere"):
        words = ["data", command, wrong, "--config", str(config), "--task", "mugs", "--set", "seed=1"]
        with pytest.raises(MissingData) as refused:
            CliRunner().invoke(cli.app, words, catch_exceptions=False)
        problem = f"no file of the task mugs is in this folder; they are in {root}, the data root of {config}"
        said, right = str(refused.value).split(" -> name that folder: ")
        assert said == f"{wrong}: {problem}"
        assert run(*shlex.split(right)[1:]).output.startswith(told)
    assert "--task mugs" in right and "--set seed=1" in right
    (tmp_path / "answer").mkdir()
    (tmp_path / "answer" / "train.jsonl").touch()  # a part of its files is there
    assert "missing answer/val.jsonl" in run("data", "check", ".", "--config", config).output


def test_training_on_bad_lines_names_the_command_that_lists_them(tmp_path: Path) -> None:
    root = tiny.make(tmp_path / "my root", train=4, val=2)
    config, lines = own_config(root, tmp_path), [{"text": "what ?"}, {"image": "a.jpg"}, {"text": 3}]
    settings = ["--set", "tasks.mugs.train=bad.jsonl", "--set", f"run={tmp_path / 'other run'}"]
    words = ["train", str(config), *settings]
    told = "; to list all bad lines: "

    def refused() -> str:
        with pytest.raises(DataError, match=r"bad.jsonl \[line 1\]: .*-> \w+") as caught:
            CliRunner().invoke(cli.app, words, catch_exceptions=False)
        return str(caught.value)

    tiny.write_lines(root / "bad.jsonl", lines)
    command = refused().partition(told)[2]
    shown = run(*shlex.split(command)[1:]).output
    assert command.endswith(shlex.join(["--config", *words[1:]])) and all(f"line {n}" in shown for n in (1, 2, 3))
    tiny.write_lines(root / "bad.jsonl", lines[:1])
    assert told not in refused()  # it is the only one
    (root / "bad.jsonl").write_text("question,image,answer\nwhat is it?,a.jpg,cup\n")
    assert told not in refused()  # nor is a table a list of bad lines


def test_a_missing_image_is_named_before_too_few_are(tmp_path: Path) -> None:
    root = tiny.make(tmp_path / "root", train=4, val=2)
    mugs = tiny_own.settings(root, "answer", train=1, val=1)
    tree = tiny.tree(root, tmp_path / "run", sources={}, tasks={"mugs": mugs})
    with pytest.raises(DataError, match="too few to validate on"):
        prepare(parse(tree))
    tiny.write_lines(root / "answer" / "train.jsonl", [{"text": "what ?", "image": "gone.jpg", "target": "cup"}])
    with pytest.raises(RegionError, match=r"train.jsonl \[line 1\]: gone.jpg has no regions"):
        prepare(parse(tree))


@pytest.mark.parametrize(
    ("kind", "others", "validated", "told"),
    [
        ("answer", 0, False, "all 3 training images are also in {}, and are removed from training"),
        ("answer", 0, True, "all 3 training images are also in {}, and are removed from training"),
        (
            "answer",
            1,
            False,
            "3 of 4 training images are also in {}, and are removed from training; what is left is too",
        ),
        ("pair", 0, False, "all 3 training examples are about images that are also in {}, and are removed"),
    ],
)
def test_training_on_the_test_images_says_so(
    kind: str, others: int, validated: bool, told: str, tmp_path: Path
) -> None:
    root = tiny.make(tmp_path / "root", train=4, val=2)
    mugs = tiny_own.settings(root, kind, train=3 + others, val=1)
    mugs["test_split"] = tiny_own.write(root, kind, "test", range(3))
    mugs |= {"val_split": tiny_own.write(root, kind, "val", range(4, 5))} if validated else {}
    tree = tiny.tree(root, tmp_path / "run", sources={}, tasks={"mugs": mugs})
    said = re.escape(f"{root / mugs['train']}: {told.format(mugs['test_split'])}")
    with pytest.raises(DataError, match=f"^{said}.* -> put different images into the two files$"):
        prepare(parse(tree))


def page_blocks(language: str) -> list[str]:
    """What docs/add-a-task.md shows in a language."""
    page = (Path(__file__).parents[2] / "docs" / "add-a-task.md").read_text(encoding="utf-8")
    return [body for name, body in re.findall(r"```(\w+)\n(.*?)```", page, flags=re.S) if name == language]


@pytest.mark.parametrize("name", ["train.csv", "train.txt"])
def test_a_csv_table_is_recognised_and_converted_by_the_page(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = ("a.jpg", "b.jpg", "c.jpg")
    answers = dict(zip(images, ("red", "blue", "red"), strict=True))
    table = "question,image,answer\n" + "".join(f'"red, or blue?",{image},{each}\n' for image, each in answers.items())
    Path(name).write_text(table, encoding="utf-8-sig")
    tree = {"kind": "answer", "train": "train.jsonl", "test_split": "train.jsonl"}
    task = from_settings({"mine": TaskSettings(**tree)})["mine"]
    with pytest.raises(DataError, match=r"\[line 1\]: this is a table \(CSV\).* -> convert it as 'From a CSV table'"):
        task.read(DataRoot(tmp_path), name)
    home = Path(__file__).parents[2]
    page = (home / "docs" / "add-a-task.md").read_text(encoding="utf-8")
    assert "`twelve data table`" in page.partition(f"### {SECTION}\n")[2].partition("\n### ")[0]
    Path("folder").mkdir()
    for number, image in enumerate(images):
        Image.new("RGB", (8, 8), (80 * number, 0, 0)).save(Path("folder") / image)
    make(Path(name), Path("folder"), home / "examples" / "quickstart-model", Path("mine"))
    found = [example for split in ("train", "test") for example in task.read(DataRoot("mine"), f"{split}.jsonl")]
    target = {"red": {"red": 1}, "blue": {"blue": 1}}
    wanted = [("red, or blue?", target[answer]) for answer in ("blue", "red", "red")]
    assert sorted(((each.text, each.target) for each in found), key=str) == wanted


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("question,image,answer\nwhat is it?,a.jpg,cup\n", "convert it as 'From a CSV table'"),
        ("", "the file has no lines -> write one JSON object a line"),
        ("what is it?\n", "-> correct this line; docs/add-a-task.md"),
        ("<html>", "is a web page"),
    ],
)
def test_a_file_of_ones_own_is_never_to_be_replaced_by_an_official_one(text: str, advice: str, tmp_path: Path) -> None:
    """Also where its name is that of JSON lines."""
    (tmp_path / "train.jsonl").write_text(text)
    tree = {"kind": "answer", "train": "train.jsonl", "test_split": "train.jsonl"}
    task = from_settings({"mine": TaskSettings(**tree)})["mine"]
    with pytest.raises(DataError) as caught:
        read_examples(task, DataRoot(tmp_path), "train.jsonl")
    assert advice in str(caught.value) and "official" not in str(caught.value)


def test_a_table_in_place_of_an_official_file_leads_to_a_task_of_ones_own(root: Path) -> None:
    (root / "snli_ve" / "snli_ve_train.jsonl").write_text("question,image,answer\nwhat is it?,a.jpg,cup\n")
    with pytest.raises(DataError, match="put the official file here; to train on a table, convert it as 'From a CSV"):
        read_examples(base.get("snli_ve"), DataRoot(root), "train")


def test_a_wrong_file_of_sources_is_to_be_written_not_downloaded(root: Path) -> None:
    for text in ("task,source\n", '["vqa"]', '{"vqa": 1}'):
        (root / "sources.json").write_text(text)
        with pytest.raises(DataError, match="-> write an object such as"):
            DataRoot(root)


@pytest.mark.parametrize(
    ("name", "line", "is_table"),
    [
        ("a.tsv", "text", True),
        ("a.jsonl", "text;image;target", True),
        ("a.csv", '{"text": "a", "image": "a.jpg"}', False),
        ("a.jsonl", '"text" {"a": 1, "b": 2}', False),
        ("a.jsonl", "[1, 2]", False),
        ("a.csv", "", False),
    ],
)
def test_only_a_table_is_called_one(name: str, line: str, is_table: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text(line)
    assert (given_as_table(tmp_path / name) is not None) == is_table


def test_the_page_on_own_data_holds_a_configuration(tmp_path: Path) -> None:
    """And a line that is wrong is put down to that page."""
    root = tiny.make(tmp_path / "root", train=4, val=2)
    tree = yaml.safe_load(page_blocks("yaml")[0])
    tree = tree | {"data": str(root), "run": str(tmp_path / "run"), "model": tiny.tree(root, tmp_path / "run")["model"]}
    names = [f"mugs/{number}" for number in range(6)]
    tiny.write_regions(root / "regions", dict(zip(names, range(6), strict=True)))
    for split, numbers in (("train", range(4)), ("test", range(4, 6))):
        lines = [{"text": "what is it ?", "image": f"mugs/{number}", "target": "red"} for number in numbers]
        tiny.write_lines(root / "mugs" / f"{split}.jsonl", lines)
    data = prepare(parse(tree))
    assert len(data.tasks["mugs"].train) + len(data.tasks["mugs"].validation) == 4
    assert data.vocabularies == {"answer": ["red"]}
    for kind in KINDS:
        tree["tasks"] = {"mine": {"kind": kind, "train": "mine.jsonl", "test_split": "mine.jsonl"}}
        task = from_settings({"mine": TaskSettings(**tree["tasks"]["mine"])})["mine"]
        (root / "mine.jsonl").write_text("{}\n")
        with pytest.raises(DataError, match=r"mine\.jsonl.*-> .*docs/add-a-task\.md"):
            task.read(DataRoot(root), "mine.jsonl")
