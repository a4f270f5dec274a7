"""What README and docs tell people to type: every command is understood, and all that need no download are run."""

from __future__ import annotations

import re
import shlex
import shutil
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_model
import typer
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.metrics.bootstrap import few_groups
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.runs.train import train
from twelve.study.studies import STUDIES

HOME = Path(__file__).parents[1]
PAGES = [HOME / "README.md", *sorted((HOME / "docs").rglob("*.md"))]
REFERENCE = sorted(path.relative_to(HOME).as_posix() for path in (HOME / "docs" / "reference").glob("*.md"))

LONG = {
    "quickstart": "minutes; tests/test_quickstart.py goes the same way on a smaller world",
    "train": "minutes to weeks; tests/test_end_to_end.py trains from shipped and small configurations",
    "regions extract": "wants real data and weights; tests/regions run every source",
    "regions verify": "wants what regions extract wrote; tests/regions/test_store.py",
    "regions import": "wants files of other programs; tests/regions write and import them",
    "regions merge": "wants shards; tests/regions merges them",
    "reproduce": "wants the official files; tests/reproduce serve small ones",
    "convert": "wants the released files; tests/model/test_convert.py has files of their layout",
    "export": "tests/model/test_export.py runs what docs/export.md says",
    "serve": "does not end; tests/web starts it",
    **{f"study {name}": "hours; tests/study runs small ones and plans all" for name in (*STUDIES, "run")},
    "study show": "wants a study; tests/study shows one",
    "study report": "wants studies; tests/study/test_study_report.py writes pages",
    "data fetch": "wants the hosts of the datasets; tests/downloads/test_get_the_data.py follows the page",
    "data check": "wants all official files; tests/data/test_check.py",
    "data clean": "wants official files; tests/data/test_exclusions.py",
    "data stats": "wants official files; tests/data/test_stats.py",
    "data vocabulary": "wants official files; tests/data/test_stats.py",
    "score": "wants official files, but for examples/score; tests/scoring runs it on recordings",
}
"""Commands that are only parsed here, and where they are run."""


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks; a command over several lines is one line."""
    found = [body for name, body in re.findall(r"```(\w*)\n(.*?)```", text, flags=re.S) if name == language]
    return [re.sub(r"\\\n\s*", " ", body) for body in found] if language == "bash" else found


def documented() -> list[tuple[str, str]]:
    """(page, command) of everything that begins with twelve, or is started by a launcher."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        indented = re.findall(r"(?:^ {4}.*\n)+", re.sub(r"\\\n\s*", " ", text), flags=re.M)
        for body in [*blocks(text, "bash"), *indented]:
            for line in body.splitlines():
                command = re.sub(r"^.*-m twelve ", "twelve ", line.strip())
                if command.startswith("twelve "):
                    found.append((page.name, command))
    return list(dict.fromkeys(found))


RUNS = ("RUN", "quickstart/run", "runs/mugs")
STANDS_FOR = {"IMAGE": "x.jpg", "FOLDER": "photographs", "CAPTION": "a boat", "DATA/images/mugs/a.jpg": "x.jpg"}
"""What stands for the reader's own -> what it is here."""


def words(command: str) -> list[str]:
    return shlex.split(command, comments=True)[1:]


def parsed(arguments: list[str]) -> str:
    """The command's name; fails where an option or argument is not one."""
    command: Any = typer.main.get_command(cli.app)  # of click, which some versions of typer carry inside
    names: list[str] = []
    while hasattr(command, "commands"):
        assert arguments and arguments[0] in command.commands, f"no command {' '.join([*names, *arguments[:1]])}"
        names.append(arguments[0])
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_parser(command.context_class(command)).parse_args(list(arguments))
    return " ".join(names)


def test_there_are_commands() -> None:
    assert len(documented()) > 25 and {"README.md", "regions.md", "predict.md"} <= {page for page, _ in documented()}


@pytest.mark.parametrize(("page", "command"), documented(), ids=lambda value: str(value)[:60])
def test_a_documented_command_is_understood(page: str, command: str) -> None:
    parsed(words(command))


def test_a_command_that_is_wrong_is_noticed() -> None:
    with pytest.raises(Exception, match="imges"):
        parsed(["regions", "extract", "--imges", "x"])
    with pytest.raises(AssertionError, match="no command regions extrct"):
        parsed(["regions", "extrct"])


def test_a_command_of_the_readme_names_files_of_the_clone_or_placeholders() -> None:
    parts = [part for page, command in documented() if page == "README.md" for part in words(command)]
    files = [part for part in parts if re.search(r"/|\.\w+$", part)]
    made = {"mine/regions", "runs/mine", "answers.csv"}  # by its commands; mine is a copy of examples/tutorial
    there = [re.sub("^mine/", "examples/tutorial/", part) for part in files if part not in made]
    assert there and not [part for part in there if not part.split(".")[0].isupper() and not (HOME / part).exists()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the commands speak of: a run, a model that can be asked everything, images, questions, recordings."""
    folder = tmp_path_factory.mktemp("docs")
    root = tiny.make(folder / "root", train=8, val=3)
    tree = tiny.tree(root, folder / "runs" / "real-sample")
    tree["training"] |= {"iterations": 2, "eval_every": 2, "save_every": 2}
    train(configuration.parse(tree), console=Console(quiet=True))
    tiny_model.make(folder / "model")
    (folder / "photographs").mkdir()
    for number, name in enumerate(("boat", "left", "right", "x", "photograph")):
        image = draw(sample_scene(np.random.default_rng(number)), seed=number)
        image.save(folder / f"{name}.jpg")
        image.save(folder / "photographs" / f"{name}.jpg")
    drawn = folder / "quickstart" / "data" / "images" / "vg"
    drawn.mkdir(parents=True)
    shutil.copy(folder / "boat.jpg", drawn / "2300000.jpg")
    shutil.copytree(HOME / "examples", folder / "examples")
    page = (HOME / "docs" / "predict.md").read_text(encoding="utf-8")
    (folder / "questions.jsonl").write_text(blocks(page, "json")[0])
    for study in ("study-four-tasks-groups", "study-four-tasks-affinity"):
        shutil.copytree(HOME / "benchmarks" / "results" / study, folder / "benchmarks" / "results" / study)
    return {"folder": folder, "model": folder / "model", "run": folder / "runs" / "real-sample"}


@pytest.mark.parametrize(("page", "command"), documented(), ids=lambda value: str(value)[:60])
def test_a_documented_command_runs(
    page: str, command: str, place: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = words(command)
    name = parsed(arguments)
    if page == "tutorial.md" or ("tutorial.md", arguments) in [(own, words(each)) for own, each in documented()]:
        pytest.skip("tests/test_tutorial.py runs the page in order")
    if page == "photographs.md":
        pytest.skip("tests/downloads/test_photographs_page.py runs the page in order")
    if "own/riding.yaml" in arguments:
        pytest.skip("tests/tasks/test_package.py runs these in order")
    if name in LONG and not (name == "score" and "examples/score/" in command):
        pytest.skip(f"{name}: {LONG[name]}")
    if name == "evaluate" and not {"runs/real-sample", *RUNS} & {*arguments}:
        pytest.skip("another run than the small one here")
    monkeypatch.chdir(place["folder"])
    if not Path("tests").exists():
        shutil.copytree(HOME / "tests" / "goldens" / "model", Path("tests/goldens/model"))
    filled = ["is it red ?" if before == "--ask" else word for before, word in zip(["", *arguments], arguments)]  # noqa: B905
    opened = str(place["run" if name in ("evaluate", "report") else "model"])
    filled = [opened if word in RUNS else STANDS_FOR.get(word, word) for word in filled]
    result = CliRunner().invoke(cli.app, filled)
    assert result.exit_code == 0, (result.output, result.exception)


@pytest.mark.parametrize(
    "page", ["README.md", "docs/quick-tour.md", "docs/predict.md", "docs/confidence.md", "docs/search.md", *REFERENCE]
)
def test_documented_python_runs(page: str, place: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place["folder"])
    bodies = blocks((HOME / page).read_text(encoding="utf-8"), "python")
    bodies = bodies if page in REFERENCE else [body for body in bodies if "twelve.load" in body]
    assert bodies or page == "docs/reference/index.md"
    for body in bodies:
        exec(body.replace("quickstart/run", str(place["model"])), {})  # our own pages


def test_the_makefile_extracts_the_regions_of_the_page() -> None:
    page, makefile = (HOME / "docs" / "real-data.md").read_text("utf-8"), (HOME / "Makefile").read_text("utf-8")
    lines = "\n".join(blocks(page, "bash")).splitlines()
    extracted = [words(line.strip()) for line in lines if "regions extract" in line]
    made = re.findall(r"twelve regions extract.*", re.sub(r"\\\n\s*", " ", makefile))
    assert extracted == [words(line.replace("$(DATA)", "DATA")) for line in made]


def examples(command: Any) -> list[str]:
    """The examples of all helps."""
    below = [each for part in getattr(command, "commands", {}).values() for each in examples(part)]
    return [str(command.epilog).removeprefix("Example: "), *below] if command.epilog else below


def test_an_example_of_a_help_names_files_that_everybody_can_have() -> None:
    found = examples(typer.main.get_command(cli.app))
    assert len(found) > 25
    for example in found:
        arguments = words(example)
        parsed(arguments)
        assert not [word for word in arguments if word.startswith("runs/")], example
        shipped = [word for word in arguments if word.startswith(("benchmarks/", "examples/", "tests/"))]
        assert all((HOME / word).exists() for word in shipped), example


def test_the_quick_tour_shows_what_its_command_prints(place: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place["folder"])
    text = (HOME / "docs" / "quick-tour.md").read_text(encoding="utf-8")
    command = next(body for body in blocks(text, "bash") if body.startswith("twelve predict"))
    printed = CliRunner().invoke(cli.app, words(command)).stdout
    compare_printed(blocks(text, "text")[0], printed)


def test_the_home_page_shows_what_its_program_prints(
    place: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place["folder"])
    opened: list[Image.Image] = []
    monkeypatch.setattr(Image.Image, "show", lambda image: opened.append(image))
    (body,) = map(textwrap.dedent, blocks((HOME / "docs" / "index.md").read_text(encoding="utf-8"), "python"))
    exec(body, {})
    assert len(opened) == 1
    compare_printed("".join(re.findall(r"^# (.*\n)", body, flags=re.M)), capsys.readouterr().out)


def test_the_page_of_errors_shows_what_its_program_prints(
    place: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place["folder"])
    text = (HOME / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    (body,), (shown,) = blocks(text, "python"), blocks(text, "text")
    exec(body, {})
    assert capsys.readouterr().out == shown


def compare_printed(shown: str, printed: str) -> None:
    """What a page shows, and what is printed."""
    assert re.sub(r"\d+%", "%", shown) == re.sub(r"\d+%", "%", printed)
    shares = [[int(share) for share in re.findall(r"(\d+)%", each)] for each in (printed, shown)]
    assert np.abs(np.subtract(*shares)).max() <= 2  # machines round differently


def test_the_page_of_scores_shows_what_its_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HOME)
    text = (HOME / "docs" / "score.md").read_text(encoding="utf-8")
    command = next(body for body in blocks(text, "bash") if body.startswith("twelve score"))
    arguments = words(command)
    printed = CliRunner().invoke(cli.app, arguments).stdout
    begin, end = blocks(text, "text")[0].split("...\n")
    assert not end and printed.startswith(begin)
    with_questions = [*arguments, "--truth", "examples/score/questions.json"]
    assert CliRunner().invoke(cli.app, with_questions).stdout == printed
    assert arguments in [words(command) for page, command in documented() if page == "README.md"]
    paired = next(words(body) for body in blocks(text, "bash") if "--minus" in body)
    begin, end = blocks(text, "text")[1].split("...\n")
    assert not end and CliRunner().invoke(cli.app, paired).stdout.startswith(begin)
    assert f"warning: {few_groups(3)}\n" in blocks(text, "text")


def test_documented_configurations_are_valid(tmp_path: Path) -> None:
    bodies = blocks((HOME / "docs" / "configuration.md").read_text(encoding="utf-8"), "yaml")
    assert len(bodies) == 2
    for body in bodies:
        (tmp_path / "run.yaml").write_text(body)
        configuration.load(tmp_path / "run.yaml")


@pytest.mark.parametrize("page", [*PAGES, HOME / "CONTRIBUTING.md", HOME / "CHANGELOG.md"], ids=lambda page: page.name)
def test_a_relative_link_names_a_file_of_the_repository(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    links = re.findall(r"\]\((?!\w+:|#)([^)\s#]+)[^)]*\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


OTHERS = ("tutorial.md",)
"""Pages that still have some."""


def test_a_link_is_called_after_its_page_not_after_a_file() -> None:
    pages = [page for page in [*PAGES, HOME / "CONTRIBUTING.md"] if page.name not in OTHERS]
    found = [
        (page.name, text) for page in pages for text in re.findall(r"\[`?([\w/-]+\.md)`?\]\(", page.read_text("utf-8"))
    ]
    assert not [each for each in found if each[0] != "README.md"]


def test_git_ignores_what_the_commands_of_the_readme_write() -> None:
    text = (HOME / "README.md").read_text(encoding="utf-8")
    written = re.findall(r'cp -r \S+ (\w+)|--out ([^/\s]+)$|save\("([^/"]+)"\)', text, flags=re.MULTILINE)
    names = {name for found in written for name in found if name}
    assert names == {"mine", "answers.csv", "bottle.jpg"}
    ignored = {line.strip("/") for line in (HOME / ".gitignore").read_text().splitlines() if line.startswith("/")}
    assert names | {"runs", "quickstart"} <= ignored
