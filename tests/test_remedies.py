"""What errors advise: every command, option, key, page and package that the program's texts name is there, and a remedy
that is followed leads to the right result.

The first half reads the source, so that no advice can be forgotten; the second provokes errors and follows them.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tiny
import typer
import yaml
from pydantic import BaseModel
from small_world import SIZES
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.device import check_usable, usable
from twelve.errors import RegionError, TwelveError
from twelve.formats.records import unreadable
from twelve.microworld.draw import draw
from twelve.microworld.make import make_microworld
from twelve.microworld.scene import sample_scene
from twelve.regions.importers.recognising import FORMATS
from twelve.regions.store.region_file import check_alike
from twelve.regions.store.region_store import RegionStore
from twelve.report.reading import read_run
from twelve.report.write import commands as commands_of
from twelve.run_folder import RunFolder, model_folder
from twelve.study.engine import begun, planned
from twelve.study.studies import get_study

HOME = Path(__file__).parents[1]
SOURCE = HOME / "src" / "twelve"
HOLE = "\N{WHITE SQUARE}"
"""Stands for what a text takes from elsewhere when it is printed."""
QUOTED = "\N{BLACK SQUARE}"
"""The same of a path as a shell reads it, or of a whole command."""
TOLD_BY_NAME = re.compile("_?(.*REMEDY|remedy|AGAIN|SAVED|BOXES|TURNS)")
"""Names that hold a remedy."""
TOLD_BY_PLACE = {"BadBox": 1, "mended_by": 1, "checked": 2, "Refusal": 2}
"""Function -> which of its arguments is a remedy, besides those called ``remedy``."""
QUOTING = {"quoted", "join", "command", "_command"}
"""What makes a path, or several words, one a shell reads."""
NO_PATHS = {"data/sources.py", "evaluation/submission.py", "microworld/train_detector.py"}
"""Files whose commands are filled with names of tasks and numbers alone."""


@dataclass(frozen=True)
class Text:
    """One string of the program, with :data:`HOLE` for what is filled in."""

    file: str
    line: int
    text: str
    remedy: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def text_of(node: ast.AST, names: dict[str, str]) -> str | None:
    """The text of a string expression; None for any other."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part, names) or HOLE for part in node.values)
    if isinstance(node, ast.FormattedValue):
        if isinstance(node.value, ast.Call):
            called = node.value.func
            return QUOTED if (getattr(called, "attr", None) or getattr(called, "id", "")) in QUOTING else HOLE
        return names.get(node.value.id, HOLE) if isinstance(node.value, ast.Name) else HOLE
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [text_of(side, names) for side in (node.left, node.right)]
        return "".join(side or HOLE for side in sides) if any(sides) else None
    return None


def texts_of(file: str, source: str) -> Iterator[Text]:
    tree = ast.parse(source)
    names: dict[str, str] = {}  # constants of the module
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = text_of(node.value, names) or HOLE
    for node in ast.walk(tree):  # docstrings speak to programmers
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [x for x in body if not (isinstance(x, ast.Expr) and isinstance(x.value, ast.Constant))]  # type: ignore[attr-defined]
    told: set[int] = set()
    for node in ast.walk(tree):
        for value in advised_in(node):
            told |= {id(each) for each in ast.walk(value)}
    seen: set[int] = set()
    for node in ast.walk(tree):  # what holds others comes before them
        if id(node) in seen or not isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
            continue
        text = text_of(node, names)
        if text is not None:
            seen |= {id(each) for each in ast.walk(node)}
            yield Text(file, node.lineno, text, id(node) in told)
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "remedy" and isinstance(node.value, ast.Constant):
            assert node.value.value or node.value.value is None, f"{file}:{node.lineno}: an empty remedy"


def advised_in(node: ast.AST) -> Iterator[ast.AST]:
    """Expressions below ``node`` that are a remedy."""
    if isinstance(node, ast.keyword) and node.arg == "remedy":
        yield node.value
    elif isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            values = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                values = list(zip(target.elts, node.value.elts, strict=True))
            yield from (value for name, value in values if isinstance(name, ast.Name) and is_told(name.id))
    elif isinstance(node, ast.arguments):
        for argument, default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
            if argument.arg == "remedy" and default is not None:
                yield default
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        place = TOLD_BY_PLACE.get(called, 1 if called == "error" else None)
        if place is not None and len(node.args) > place:
            yield node.args[place]


def is_told(name: str) -> bool:
    return TOLD_BY_NAME.fullmatch(name) is not None


@cache
def texts() -> tuple[Text, ...]:
    found: list[Text] = []
    for path in sorted(SOURCE.rglob("*.py")):
        found += texts_of(path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8"))
    return tuple(found)


@cache
def commands() -> dict[str, tuple[Any, set[str]]]:
    """Name -> (command of click, its options)."""
    found: dict[str, tuple[Any, set[str]]] = {}

    def walk(command: Any, name: str) -> None:
        for key, each in getattr(command, "commands", {}).items():
            walk(each, f"{name} {key}".strip())
        if not hasattr(command, "commands"):
            options = {o for parameter in command.params for o in (*parameter.opts, *parameter.secondary_opts)}
            found[name] = command, options | {"--help"}

    walk(typer.main.get_command(cli.app), "")
    return found


ASKING = ("predict", "match", "index", "serve")
STUDIES = ("study joint-vs-single",)
RUNS = ("train", "evaluate", "quickstart", "report", *STUDIES)
SAID_BY: dict[str, tuple[str, ...]] = {
    "regions/importers": ("regions import",),
    "regions": ("regions extract", "regions merge", *ASKING),
    "data/clean.py": ("data clean", *RUNS),
    "data/own_table.py": ("data table",),
    "data": ("data check", "data clean", "data stats", "data vocabulary", *RUNS),
    "microworld": ("data make-microworld", "data train-detector", "quickstart"),
    "predictor": ASKING,
    "web": ("serve",),
    "scoring": ("score",),
    "tasks": ("score", "data check", *RUNS),
    "training": RUNS,
    "evaluation": ("evaluate", "report", "score"),
    "model": ("convert", "export", *ASKING, *RUNS),
    "study": (*STUDIES, "study run", "study show"),
    "config": RUNS,
    "inheriting": RUNS,
    "device": (*ASKING, "regions extract"),
    "quickstart.py": ("quickstart",),
}
"""Place -> commands that print its texts: an option named without a command must be one of theirs."""
OTHERS = {"--nproc-per-node": "torchrun", "--untracked-files": "git", "--data-binary": "curl", "--heat": "the page"}
"""Options of other programs."""
PROSE = {"datasets", "names", "regions 1", HOLE}
"""What follows the package's name in a text that names no command."""


def said_by(file: str) -> set[str]:
    """Options of the commands that can print a text of ``file``."""
    for place, names in sorted(SAID_BY.items(), key=lambda pair: -len(pair[0])):
        if file.startswith(place):
            return set().union(*(commands()[name][1] for name in names))
    return set().union(*(options for _, options in commands().values()))


def named_commands(text: str) -> Iterator[tuple[str, str]]:
    """(command, what follows it up to the next one) for every ``twelve COMMAND`` in a text."""
    for found in re.finditer(r"(?<![\w/.-])twelve ((?:(?!twelve ).)*)", text):
        words = re.split(r"\s+", found[1])
        name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]).strip(".,;:)`'") in commands()), "")
        name = name.strip(".,;:)`'")
        yield name, found[1]


def wrong_commands(text: Text) -> Iterator[str]:
    for name, rest in named_commands(text.text):
        if not name:
            group = rest.split(" ")[0]
            if not any(rest.startswith(word) for word in PROSE) and not any(
                key.startswith(f"{group} ") for key in commands()
            ):
                yield f"no command twelve {rest[:40]}"
            continue
        _, options = commands()[name]
        # What follows a command is its own up to the next sentence, or what another program takes.
        own = re.split(r" \(|; |: |\) ", rest)[0]
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", own):
            if option not in options:
                yield f"twelve {name} has no option {option}"


def wrong_usage(text: Text) -> Iterator[str]:
    """Commands that stand for themselves: complete, as a parser takes them."""
    for found in re.finditer(r"(?:^|: |`)(twelve [^`]*)", text.text):
        line = re.split(r" \(|; | && |`|, or | > ", found[1])[0]
        name = next((name for name, _ in named_commands(line)), "")
        if not name or "..." in line or line == f"twelve {name}":
            continue
        words = shlex.split(line.replace(HOLE, "1").replace(QUOTED, "1"))[1 + len(name.split()) :]
        if "--help" in words:
            continue
        command = commands()[name][0]
        try:
            command.make_context(name, words)
        except Exception as error:  # typer carries a click of its own in some versions
            yield f"twelve {name} does not take this: {error}"


def wrong_quoting(text: Text) -> Iterator[str]:
    """Paths with spaces must come through the shell."""
    for found in re.finditer(
        r"\b(?:twelve (?:train|evaluate|report|regions|data|predict|serve)|chmod|mv) [^;]*", text.text
    ):
        if HOLE in found[0] and text.file not in NO_PATHS:
            yield "quote the path: twelve.errors.quoted"


def wrong_options(text: Text) -> Iterator[str]:
    if text.text.startswith("--") and " " not in text.text and not text.remedy:
        return  # an option's declaration, or an argument of another program
    known = said_by(text.file)
    named = set().union(*(commands()[name][1] for name, _ in named_commands(text.text) if name))
    for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", text.text):
        if option not in known | named and option not in OTHERS:
            yield f"no command that prints this has an option {option}"


def section(model: Any, name: str) -> Any:
    """The section of a configuration under a key: a model, or None where anything may stand."""
    annotation = model.model_fields[name].annotation
    inner = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
    return next((each for each in inner if issubclass(each, BaseModel)), None)


def is_key(path: str) -> bool:
    """Whether a dotted key can stand in a configuration; holes stand for any name."""
    model: Any = configuration.RunConfig
    parts = path.split(".")
    if parts[0] == "init":
        return len(parts) == 1
    while parts:
        name, parts = parts[0], parts[1:]
        if name == HOLE:
            return True
        if name not in model.model_fields:
            return False
        model, below = section(model, name), model.model_fields[name].annotation
        if "Mapping" in str(below) and parts:
            parts = parts[1:]  # a name of the user's
        if model is None:
            return not parts or "Mapping" in str(below)
    return True


def wrong_keys(text: Text) -> Iterator[str]:
    sections = [name for name in configuration.RunConfig.model_fields if section(configuration.RunConfig, name)]
    keys = re.findall(rf"--set ([\w.{HOLE}]+)(?==)", text.text)
    if text.remedy:
        found = rf"(?<![\w/.-])((?:{'|'.join(sections)})(?:\.[\w{HOLE}]+)+)(?![\w(/*-])"
        keys += [key for key in re.findall(found, text.text) if not re.search(r"\.(jsonl?|py|safetensors|yaml)$", key)]
    for key in keys:
        if key.removesuffix(".") not in ("KEY", "a.b", HOLE) and not is_key(key):
            yield f"no configuration has the key {key}"


def wrong_pages(text: Text) -> Iterator[str]:
    for page in re.findall(r"docs/[\w-]+\.md", text.text):
        if not (HOME / page).is_file():
            yield f"no page {page}"
    for name in re.findall(r"configs/([\w-]+\.yaml)", text.text):
        if name not in configuration.shipped():
            yield f"no shipped configuration {name}"


@cache
def optional_dependencies() -> dict[str, list[str]]:
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(project["optional-dependencies"])


def wrong_packages(text: Text) -> Iterator[str]:
    extras = optional_dependencies()
    packages = {re.split(r"[\[<>=]", each)[0] for needs in extras.values() for each in needs} | {"wandb", "trackio"}
    for quote, name in re.findall(r"pip install (['\"]?)([^\s'\",;)]+)", text.text):
        extra = re.fullmatch(r"twelve-vl\[(\w+)\]", name)
        if extra and extra[1] not in extras:
            yield f"no extra {name}"
        elif extra and not quote:
            yield f"a shell may take {name} for a pattern: quote it"
        elif not extra and HOLE not in name and name not in packages:
            yield f"unknown package {name}"


VAGUE = (
    r"check it",
    r"mend (it|this line|what .*)",
    r"replace (it|the file)",
    r"see (Twelve\w+[\w.]*|the documentation)",
    r"choose another( one)?",
    r"correct it",
    r"try again",
    r"record it again",
    r"check the weights",
)
"""Remedies that tell nobody what to do, as they stand or before a comma."""


def wrong_words(text: Text) -> Iterator[str]:
    if text.remedy and re.fullmatch(rf"\s*(?:{'|'.join(VAGUE)})\s*[.!]?\s*", text.text):
        yield "tells nobody what to do"
    if text.remedy and text.text and not text.text.strip():
        yield "an empty remedy"
    if re.search(r"(?<![Tt]here )\b(is|are) no (?!such\b|longer\b)\w", text.text):
        yield 'say "is not a", as in "is not an image"'


CHECKS = (
    wrong_commands,
    wrong_usage,
    wrong_quoting,
    wrong_options,
    wrong_keys,
    wrong_pages,
    wrong_packages,
    wrong_words,
)


def test_there_are_remedies() -> None:
    remedies = [text for text in texts() if text.remedy]
    assert len(remedies) > 450 and len(texts()) > 3000
    assert {text.file for text in remedies} > {
        "io/files.py",
        "config.py",
        "regions/store/region_store.py",
        "study/results.py",
    }
    assert sum("twelve " in text.text for text in remedies) > 15


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_is_advised_is_there(check: Any) -> None:
    wrong = [f"{text}: {why}" for text in texts() for why in check(text)]
    assert not wrong, "\n".join(wrong)


SEEDED = (
    ("runs/train.py", "remedy='go on: twelve trian CONFIG'", wrong_commands, "no command twelve trian"),
    ("runs/train.py", "remedy='twelve train CONFIG --resum'", wrong_commands, "has no option --resum"),
    ("runs/train.py", "remedy='see it: twelve evaluate'", wrong_usage, None),
    ("runs/train.py", "remedy='see it: twelve evaluate RUN RUN'", wrong_usage, "does not take this"),
    ("runs/train.py", "remedy=f'see it: twelve evaluate {folder}'", wrong_quoting, "quote the path"),
    ("runs/train.py", "remedy=f'see it: twelve evaluate {quoted(folder)}'", wrong_quoting, None),
    ("regions/importers/run.py", "remedy='check --from'", wrong_options, "an option --from"),
    ("regions/importers/run.py", "remedy='say --index FILE'", wrong_options, None),
    ("config.py", "remedy='--set training.epoch=3'", wrong_keys, "training.epoch"),
    ("config.py", "remedy='--set tasks.vqa.val_split=SPLIT'", wrong_keys, None),
    ("config.py", "remedy='lower vocabulary.mincount'", wrong_keys, "vocabulary.mincount"),
    ("config.py", "remedy='see docs/config.md'", wrong_pages, "docs/config.md"),
    ("config.py", "remedy='see configs/real.yaml'", wrong_pages, "real.yaml"),
    ("web/app.py", "remedy='pip install \"twelve-vl[www]\"'", wrong_packages, "no extra"),
    ("web/app.py", "remedy='pip install twelve-vl[web]'", wrong_packages, "quote it"),
    ("config.py", "remedy='check it'", wrong_words, "tells nobody"),
    ("io/files.py", "problem=f'{name} is no folder'", wrong_words, "is not a"),
    ("io/files.py", "problem=f'there is no folder {name}'", wrong_words, None),
)
"""(file, source, check, what it says): what must be noticed, and beside it what is right."""


@pytest.mark.parametrize(
    ("file", "source", "check", "said"), SEEDED, ids=lambda value: getattr(value, "__name__", str(value)[:40])
)
def test_what_is_wrong_is_noticed(file: str, source: str, check: Any, said: str | None) -> None:
    found = [why for text in texts_of(file, f"raise E('x', {source})") for why in check(text)]
    assert (said is None and not found) or (said is not None and found and said in found[0]), found


# --- followed -----------------------------------------------------------------------------------------------------
def refused(action: Callable[[], Any], *said: str) -> str:
    """What an error that ``action`` raises advises; ``said`` is in its message."""
    with pytest.raises(TwelveError) as caught:
        action()
    for each in said:
        assert each in str(caught.value), str(caught.value)
    assert caught.value.remedy, str(caught.value)
    return caught.value.remedy


def advised(remedy: str, pattern: str) -> str:
    """The part of a remedy that ``pattern`` finds: what a person would copy."""
    found = re.search(pattern, remedy)
    assert found, remedy
    return found[1] if found.re.groups else found[0]


def run(*words: str) -> str:
    """A command line, in this process; raises what it raises."""
    result = CliRunner().invoke(cli.app, list(words))
    if isinstance(result.exception, TwelveError):
        raise result.exception
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.output


def type_in(command: str) -> str:
    """A command as it was printed, in this process."""
    words = shlex.split(command)
    if words[0] == "chmod":
        subprocess.run(words, check=True)
        return ""
    assert words[0] == "twelve", command
    return run(*words[1:])


MINIMAL: dict[str, Any] = {"run": "r", "data": "d", "tasks": ["vqa", "snli_ve"]}


def write_tree(path: Path, tree: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


SETTINGS: tuple[tuple[dict[str, Any], str, str, dict[str, str]], ...] = (
    # (what is in the file, what is wrong, the setting in the remedy, what stands for words in capitals)
    ({"tasks": {"vqa": {"test_split": "train"}}}, "the one that is trained on", r"--set (\S+)", {"SPLIT": "val"}),
    ({"tasks": {"vqa": {"val_split": "train"}}}, "may not validate on", r"--set (\S+)", {"SPLIT": "minval"}),
    ({"tasks": {"vqa": {"val_split": "train"}}}, "may not validate on", r"--set (\S+)", {"SPLIT": "null"}),
    ({"tasks": {"snli_ve": {}, "own": {"kind": "pair", "train": "a", "test_split": "b", "output": "answer"}}},
     "of kind answer", r"--set (\S+)", {"NAME": "another"}),
    ({"freeze": {"text_layers": 2}}, "would stay so", r"--set (freeze\S+)\)", {}),
    ({"freeze": {"image_layers": 2}}, "would stay so", r"--set (freeze\S+)\)", {}),
    ({"freeze": {"all_but_heads": True}}, "would stay so", r"--set (freeze\S+)\)", {}),
    ({"freeze": {"all_but_heads": True}}, "would stay so", r"--set (model.init=\S+)", {"RUN": "begun"}),
    ({"replay": ["vqa"]}, "nothing to replay", r"--set (\S+)", {"RUN": "begun"}),
    ({"replay": ["vqa", "snli_ve"], "model": {"init": "begun"}}, "none is new", r"--set (\S+)", {"TASK": "gqa"}),
    ({"run": None, "replay": []}, "", "", {}),
    ({"optimizer": {"betas": [0.9]}}, "two numbers", r"write (\[.*\])", {"": "optimizer.betas="}),
)  # fmt: skip


@pytest.mark.parametrize(("change", "wrong", "pattern", "names"), SETTINGS, ids=lambda value: str(value)[:50])
def test_a_setting_that_is_advised_mends_the_configuration(
    change: dict[str, Any], wrong: str, pattern: str, names: dict[str, str], tmp_path: Path
) -> None:
    write_tree(tmp_path / "begun" / "config.yaml", MINIMAL | {"run": "begun", "tasks": ["vqa", "snli_ve"]})
    tree = MINIMAL | change
    if tree["run"] is None:  # a key that is required
        del tree["run"]
        wrong, pattern, names = "required", r"--set (\S+)", {"VALUE": "somewhere"}
    file = write_tree(tmp_path / "mine.yaml", tree)
    setting = advised(refused(lambda: configuration.load(file), wrong), pattern)
    for name, value in names.items():
        assert name in setting
        setting = setting.replace(name, value) if name else value + setting
    configuration.load(file, [setting])


def test_names_that_are_offered_are_taken(tmp_path: Path) -> None:
    file = write_tree(tmp_path / "mine.yaml", MINIMAL | {"tasks": ["vqaa"]})
    for name in advised(
        refused(lambda: configuration.load(file), "vqaa"), "choose among (.*), or install the package that defines it"
    ).split(", "):
        try:
            configuration.load(file, [f"tasks=[{name}]"])
        except TwelveError as error:  # a task of another kind wants more than a name
            raise AssertionError(f"{name}: {error}") from None
    listed = advised(refused(lambda: configuration.load("ownn.yaml")), "twelve configs")
    names = re.findall(r"^\S+\.yaml", type_in(listed), re.MULTILINE)
    assert names and all(run("configs", name) for name in names)
    file = write_tree(tmp_path / "keys.yaml", MINIMAL | {"tasks": ["vqa"], "sede": 3})
    known = advised(refused(lambda: configuration.load(file), 'did you mean "seed"'), "known here: (.*)").split(", ")
    write_tree(file, MINIMAL | {"seed": 3})
    assert "seed" in known and configuration.load(file).seed == 3


def test_files_of_configurations(tmp_path: Path) -> None:
    file = tmp_path / "my own.yaml"
    file.write_text("- a\n- b\n")
    command, _, name = advised(refused(lambda: configuration.load(file), "mapping"), "twelve .*").partition(" > ")
    (tmp_path / name).write_text(type_in(command))
    configuration.load(tmp_path / name)
    file.write_text("run: a\nrun: b\ndata: d\ntasks: [vqa]\n")
    assert "remove one of the two" in refused(lambda: configuration.load(file), "again in line 2")
    file.write_text("run: b\ndata: d\ntasks: [vqa]\n")
    configuration.load(file)
    assert "write --set a.b=value" in refused(lambda: configuration.load(file, ["seed 3"]))
    file.write_bytes(b"run: \xff\xfe")
    assert "UTF-8" in refused(lambda: configuration.load(file), "expected YAML in UTF-8")


def test_what_cannot_be_read_can_be_afterwards(tmp_path: Path) -> None:
    """Whoever runs this may be one for whom everything can be read: the error is made, the permission looked at."""
    for path in (tmp_path / "a file", tmp_path / "a folder"):
        path.mkdir() if path.name == "a folder" else path.touch()
        path.chmod(0)
        remedy = unreadable(path, PermissionError(13, "Permission denied")).remedy
        type_in(advised(str(remedy), "chmod .*"))
        assert path.stat().st_mode & 0o700 == (0o500 if path.is_dir() else 0o400)


def test_going_on_from_what_is_no_run(tmp_path: Path) -> None:
    write_tree(tmp_path / "begun" / "config.yaml", MINIMAL | {"run": "begun"})
    tree = {"run": "r", "tasks": ["gqa"], "replay": ["vqa"], "model": {"init": "modelfolder"}}
    file = write_tree(tmp_path / "mine.yaml", tree)
    (tmp_path / "modelfolder").mkdir()
    remedy = refused(lambda: configuration.load(file), "no run to go on from")
    configuration.load(file, [advised(remedy, r"--set (\S+)\)").replace("RUN", "begun")])
    assert "set both data and replay (a list of tasks)" in remedy
    write_tree(file, tree | {"data": "d", "tasks": ["gqa", "vqa"]})
    configuration.load(file)


def test_own_tasks(tmp_path: Path) -> None:
    own = {"kind": "answer", "train": "a.jsonl", "test_split": "b.jsonl"}
    file = write_tree(tmp_path / "mine.yaml", MINIMAL | {"tasks": {"vqa": own}})
    assert "another name" in refused(lambda: configuration.load(file), "known dataset")
    write_tree(file, MINIMAL | {"tasks": {"mine": own}})
    configuration.load(file)
    write_tree(file, MINIMAL | {"tasks": {"mine": {"train": "a.jsonl", "test_split": "b.jsonl"}}})
    key = advised(refused(lambda: configuration.load(file)), r"add (\S+)")
    configuration.load(file, [f"{key}=answer"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with spaces: a data root, a configuration and a run of two iterations. Nothing of it is changed."""
    folder = tmp_path_factory.mktemp("a place")
    root = tiny.make(folder / "own data", train=12, val=4)
    tree = tiny.tree(root, folder / "the run")
    tree["tasks"] = {name: tree["tasks"][name] for name in ("vqa", "snli_ve")}
    tree["training"] |= {"iterations": 2, "eval_every": 2, "save_every": 1}
    write_tree(folder / "mine.yaml", tree)
    run("train", str(folder / "mine.yaml"))
    return folder


TRAINING: tuple[tuple[list[str], str, str, dict[str, str]], ...] = (
    # (settings, what is wrong, the setting in the remedy, what stands for what)
    (["model.architecture.num_task_tokens=1"], "no task token is left", r"--set (\S+)", {"=N": "=2"}),
    (["model.architecture.v_feature_size=4"], "v_feature_size is 4", "leave v_feature_size out", {}),
    (["model.architecture.heads={}"], "heads follow", "leave it out", {}),
    (["model.architecture.max_position_embeddings=4"], "longest text", r"give (\w+ at least \d+)",
     {"max": "model.architecture.max", " at least ": "="}),
    (["vocabulary.min_count=99"], "at least 99 questions", "lower (vocabulary.min_count)", {"count": "count=1"}),
    (["freeze.names=[txt]"], "begins with 'txt'", "names begin with (.*)",
     {"connections, heads, image, poolers, text": "freeze.names=[text]"}),
    (["freeze.text_layers=9", "init=RUN"], "has 2 layers, not 9", "at most (.*)", {"2": "freeze.text_layers=2"}),
    (["freeze.names=[text, image, connections, heads, poolers]", "init=RUN"], "nothing is left", "(freeze.but)",
     {"but": "but=[heads]"}),
    (["tasks.nlvr2={test_split: dev, max_text: 99}", "init=RUN"], "at most 16 word pieces", "at most (.*)",
     {"16": "tasks.nlvr2.max_text=16"}),
    (["schedule.name=stop"], "unknown schedule", "choose among .*(stop-and-go)",
     {"stop-and-go": "schedule.name=stop-and-go"}),
    (["schedule.options.gab=3"], "no option 'gab'", "its options: (.*)", {}),
    (["run=THERE"], "already holds a run", r"--set (\S+)", {}),
)  # fmt: skip


@pytest.mark.parametrize(("settings", "wrong", "pattern", "names"), TRAINING, ids=lambda value: str(value)[:50])
def test_what_is_advised_lets_a_run_begin(
    settings: list[str], wrong: str, pattern: str, names: dict[str, str], place: Path, tmp_path: Path
) -> None:
    there = {"RUN": str(place / "the run"), "THERE": str(place / "the run")}
    given = [f"run={tmp_path / 'new run'}"]
    for setting in settings:
        key, _, value = setting.partition("=")
        given.append(f"{key}={there.get(value, value)}")

    def train(settings: list[str]) -> None:
        run("train", str(place / "mine.yaml"), *(word for setting in settings for word in ("--set", setting)))

    found = advised(refused(lambda: train(given), wrong), pattern)
    if "out" in pattern or not names:
        given = [setting for setting in given if not setting.startswith(settings[0].partition("=")[0])]
    if "=" in found or names:
        for name, value in names.items():
            assert name in found, found
            found = found.replace(name, value)
        given.append(found.partition("#")[0].strip())
    train(given)


def test_a_run_that_is_there(place: Path, tmp_path: Path) -> None:
    moved = ["train", str(place / "mine.yaml"), "--set", f"run={tmp_path / 'moved run'}"]
    run(*moved)
    run(*moved, advised(refused(lambda: run(*moved), "already holds a run"), r"add (--\w+)"))
    # What was begun otherwise goes on as it was begun, whatever its folder is called.
    other = [*moved, "--set", "seed=4", "--resume"]
    type_in(advised(refused(lambda: run(*other), "was begun with 3"), "twelve .*"))
    # What is gone from its folder is trained, or saved, again.
    folder = RunFolder(tmp_path / "moved run")
    asked = ["export", str(folder.path), str(tmp_path / "out"), "--output", "answer"]
    for problem, gone in {
        "the model of this run is gone": [folder.model],
        "this run has no model": [folder.model, folder.checkpoint(2), folder.trained],
        "the model and the checkpoints of this run are gone": [folder.model, folder.checkpoints],
        "this run has no model yet": [folder.model, folder.checkpoints, folder.trained],
    }.items():
        for each in gone:
            if each.is_dir():
                shutil.rmtree(each)
            else:
                each.unlink()
        type_in(advised(refused(lambda: run(*asked), f"{problem} -> "), "twelve .*"))
        assert model_folder(folder.path) == folder.model and folder.trained.is_file()


def test_a_run_that_is_not_there(place: Path, tmp_path: Path) -> None:
    words = ["train", str(place / "mine.yaml"), "--set", f"run={tmp_path / 'none'}", "--resume"]
    assert "omit --resume" in refused(lambda: run(*words), "no run to resume")
    run(*words[:-1])
    (tmp_path / "empty").mkdir()
    for command in ("evaluate", "report"):
        none, around = ([command, str(folder)] for folder in (tmp_path / "empty", tmp_path))
        assert "twelve train CONFIG" in refused(lambda asked=none: run(*asked), "holds no run")
        assert str(tmp_path / "none") in refused(lambda asked=around: run(*asked), "holds no run")


def test_damaged_checkpoints(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "the run", tmp_path / "damaged")
    (tmp_path / "damaged" / "trained.json").unlink()  # a complete run needs its checkpoints no more
    for folder in (tmp_path / "damaged" / "checkpoints").iterdir():
        (folder / "tensors.safetensors").write_bytes(b"")
    words = ["train", str(place / "mine.yaml"), "--set", f"run={tmp_path / 'damaged'}", "--resume"]
    with pytest.raises(TwelveError) as caught:
        run(*words)
    assert str(caught.value).count(" -> ") == 1, "one remedy, not that of each checkpoint as well"
    remedy = str(caught.value.remedy)
    assert "without --resume" in remedy
    run(*words[:-1], "--set", advised(remedy, r"--set (\w+=\w+)"))
    shutil.rmtree(tmp_path / "damaged" / "checkpoints")
    shutil.copytree(place / "the run" / "checkpoints", tmp_path / "damaged" / "checkpoints")
    run(*words)


def test_measuring(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my run"
    shutil.copytree(place / "the run", folder)
    (folder / "evaluation.json").write_text("{")
    for command in advised(refused(lambda: run("report", str(folder)), "evaluation.json"), "twelve .*").split(" && "):
        type_in(command)
    run("report", str(folder))
    for command in commands_of(read_run(folder)):
        if "ANOTHER_FOLDER" not in command:
            type_in(command)
    known = advised(refused(lambda: run("evaluate", str(folder), "--task", "vqaa")), "it has (.*)").split(", ")
    assert sorted(known) == ["snli_ve", "vqa"]
    submit = ["evaluate", str(folder), "--submit", str(tmp_path / "results.json"), "--no-baselines"]
    name = advised(refused(lambda: run(*submit), "one task's"), "with --task: (.*)").split(", ")[0]
    run(*submit, "--task", name)
    assert "name a file in it" in refused(lambda: run(*submit[:3], str(tmp_path), "--task", name))
    run(*submit[:3], str(tmp_path / "in it.json"), "--task", name, "--no-baselines")
    split = [*submit, "--task", "vqa", "--split", "test2015"]
    for other in advised(refused(lambda: run(*split), "no split"), "choose among (.*)").split(", "):
        if other == "val":
            run(*split[:-1], other)


def test_other_places_to_write(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    words = ["data", "clean", str(place / "own data"), "--no-pixels", "--out", str(tmp_path / "file")]
    assert "choose another folder" in refused(lambda: run(*words), "found a file")
    run(*words[:-1], str(tmp_path / "lists"))
    (tmp_path / "file").unlink()
    run(*words)
    words = ["data", "vocabulary", str(place / "own data"), "vqa", "--min-count", "1", "--out", str(tmp_path)]
    assert "name a file in it" in refused(lambda: run(*words), "found a folder")
    run(*words[:-1], str(tmp_path / "answers.json"))
    assert "in a folder of your own" in refused(lambda: run(*words[:-1], "/dev/null"), "a device")
    (tmp_path / "below").write_text("mine")
    beneath = ["data", "clean", str(place / "own data"), "--no-pixels", "--out", str(tmp_path / "below" / "lists")]
    assert "move that file away" in refused(lambda: run(*beneath), "is a file")
    (tmp_path / "below").rename(tmp_path / "away")
    run(*beneath)


def test_a_world_where_another_folder_is(tmp_path: Path) -> None:
    root = tmp_path / "my world"
    small = partial(make_microworld, sizes=SIZES)
    (root / "notes").mkdir(parents=True)
    remedy = refused(lambda: small(root, 0), "other than a microworld")
    assert remedy == "choose another folder, or remove this one first"
    shutil.rmtree(root)
    small(root, 0)
    assert "remove this one first" in refused(lambda: small(root, 1), "a microworld of seed 0, not 1")
    (root / "microworld.json").write_text("{")
    assert "remove the whole folder" in refused(lambda: small(root, 0))


# --- regions ------------------------------------------------------------------------------------------------------
@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(4):
        path = tmp_path / "own images" / ("mine" if number < 3 else "other") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(sample_scene(np.random.default_rng(number)), seed=number).save(path)
    return tmp_path / "own images"


EXTRACTION: tuple[tuple[str, str, str, str], ...] = (
    # (options, what is wrong, what is in the remedy, options that follow from it)
    ("--boxes detect --legacy", "no legacy mode", "leave --legacy out", "--boxes detect"),
    ("--boxes detect --precision bf16", "no precision", "leave --precision out", "--boxes detect"),
    ("--boxes detect --levels c3", "has no level", "leave --levels out", "--boxes detect"),
    ("--boxes patches", "has no patches", "give --boxes detect, FILE or grid:SIZE", "--boxes grid:24"),
    ("--boxes patches", "has no patches", "give --boxes detect, FILE or grid:SIZE", "--boxes detect"),
    ("--boxes grids", "neither a file nor", "grid:SIZE, patches, detect", "--boxes grid:24"),
    ("--boxes grid:0", "--boxes grid:0", "grid:SIZE/STEP or grid:ROWSxCOLUMNS", "--boxes grid:2x3"),
    ("--boxes grid:0", "--boxes grid:0", "grid:SIZE/STEP or grid:ROWSxCOLUMNS", "--boxes grid:24/12"),
    ("--boxes detect --max-boxes 999999999", "--max-boxes 999,999,999", "keep 1 to", "--boxes detect --max-boxes 1"),
    ("--boxes given:vqa", "needs the dataset's files", "--data ROOT", ""),
    ("--boxes detect --shard 4/4", "does not name a part", "write 0/4", "--boxes detect --shard 0/4"),
    ("--boxes detect --source a/b", "is not a name", "a plain name", "--boxes detect --source ab"),
    ("--boxes detect --images OTHER", "several sources", "give --source", "--boxes detect --images OTHER --source one"),
    ("--boxes detect --backbone microworlt --weights random", "did you mean", "x152, microworld",
     "--boxes detect --backbone microworld"),
    ("--boxes detect --backbone resnet18", "no weights given", "random to try things out",
     "--boxes grid --backbone resnet18 --weights random --short-side 64"),
    ("--boxes detect --backbone resnet18 --weights random", "detects no boxes", "grid:SIZE",
     "--boxes grid:64 --backbone resnet18 --weights random --short-side 64"),
    ("--boxes detect --backbone resnet18 --weights random", "detects no boxes", "a --backbone that is a",
     "--boxes detect --backbone microworld"),
    ("--boxes grid --backbone resnet18 --weights random --class-probabilities", "no class probabilities",
     "leave --class-probabilities out", "--boxes grid --backbone resnet18 --weights random --short-side 64"),
    ("--boxes grid --backbone resnet18 --weights nowhere.pth", "no such weight file", "--weights", ""),
    ("--boxes detect --backbone x152", "no weights given", "random to try things out", ""),
)  # fmt: skip


@pytest.mark.parametrize(("options", "wrong", "advice", "followed"), EXTRACTION, ids=lambda value: str(value)[:60])
def test_options_of_extraction(
    options: str, wrong: str, advice: str, followed: str, images: Path, tmp_path: Path
) -> None:
    def extract(options: str) -> None:
        words = options.replace("OTHER", "other").split()
        words = [str(images / "other") if word == "other" else word for word in words]
        backbone = [] if "--backbone" in words else ["--backbone", "microworld"]
        run("regions", "extract", "--images", str(images / "mine"), *words, *backbone, "--out", str(tmp_path / "r"))

    assert advice in refused(lambda: extract(options), wrong)
    if followed:
        extract(followed)


def test_a_store_that_holds_something_else(images: Path, tmp_path: Path) -> None:
    base = ["regions", "extract", "--images", str(images / "mine"), "--backbone", "microworld"]
    run(*base, "--boxes", "detect", "--out", str(tmp_path / "r"))
    remedy = refused(lambda: run(*base, "--boxes", "grid:24", "--out", str(tmp_path / "r")), "contains other regions")
    assert remedy == "give another --out, or delete that file"
    run(*base, "--boxes", "grid:24", "--out", str(tmp_path / "another"))
    (tmp_path / "r" / "mine" / "mine.arrow").unlink()
    run(*base, "--boxes", "grid:24", "--out", str(tmp_path / "r"))
    # An image in two files of a source.
    shutil.copy(tmp_path / "r" / "mine" / "mine.arrow", tmp_path / "r" / "mine" / "copy.arrow")
    store = partial(RegionStore, tmp_path / "r")
    assert "remove one of the two files" in refused(lambda: store().ids("mine"), "is also in")
    files = [str(tmp_path / "r" / "mine" / f"{name}.arrow") for name in ("mine", "copy", "all")]
    merge = ["regions", "merge", *files[:2], "--out"]
    remedy = refused(lambda: run(*merge, files[2]), "would be beside")
    run(*merge, str(tmp_path / "elsewhere" / "mine" / "all.arrow"))
    run(*merge, files[2], advised(remedy, r"\((--\w+)\)"))
    assert len(store().ids("mine")) == 3


def test_all_files_that_do_not_fit_are_deleted_at_once(images: Path, tmp_path: Path) -> None:
    words = ["regions", "extract", "--images", str(images / "mine"), "--backbone", "microworld", "--boxes", "detect"]
    words += ["--out", str(tmp_path / "my regions")]
    run(*words)
    draw(sample_scene(np.random.default_rng(7)), seed=7).save(images / "mine" / "later.png")
    run(*words)
    files = sorted((tmp_path / "my regions" / "mine").glob("*.arrow"))
    again = [*words, "--threshold", "0.3"]
    remedy = refused(lambda: run(*again), "contains other regions", "; 1 other file cannot be kept either")
    assert remedy == f"give another --out, or delete these 2 files: {shlex.join(['rm', *map(str, files)])}"
    subprocess.run(shlex.split(advised(remedy, r"(rm .*)")), check=True)
    run(*again)
    assert len(RegionStore(tmp_path / "my regions").ids("mine")) == 4


def test_many_files_that_do_not_fit_are_named_by_their_folder(tmp_path: Path) -> None:
    """A list of all would be cut in the middle, and so be no command."""
    (folder := tmp_path / "my regions").mkdir()
    files = [folder / f"{number:05}.arrow" for number in range(300)]
    for file in files:
        file.touch()
    with pytest.raises(RegionError, match="x; 299 other files cannot be kept either") as raised:
        check_alike([RegionError("x", file=file) for file in files])
    assert len(str(raised.value)) < 1000
    command = advised(str(raised.value), r"delete all region files of this folder: (rm .*)")
    subprocess.run(command, shell=True, check=True)
    assert not list(folder.iterdir())


def test_a_damaged_file_is_made_again(images: Path, tmp_path: Path) -> None:
    """Extracting again is not enough where the damaged file stays: its images count as there."""
    words = ["regions", "extract", "--images", str(images / "mine"), "--backbone", "microworld", "--boxes", "detect"]
    words += ["--out", str(tmp_path / "my regions")]
    run(*words)
    file = tmp_path / "my regions" / "mine" / "mine.arrow"
    content = bytearray(file.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 64] = bytes(byte ^ 1 for byte in content[middle : middle + 64])
    file.write_bytes(bytes(content))
    merge = ["regions", "merge", str(file), "--out", str(tmp_path / "new" / "mine" / "all.arrow")]
    assert "delete it and extract" in refused(lambda: run(*merge), "damaged")
    file.unlink()
    run(*words)
    run(*merge)


def test_sources_that_do_not_go_together(images: Path, tmp_path: Path) -> None:
    def words(source: str, *more: str) -> list[str]:
        start = ["regions", "extract", "--images", str(images / source), "--backbone", "microworld"]
        return [*start, "--boxes", "detect", *more, "--out", str(tmp_path / "r")]

    run(*words("mine"))
    run(*words("other", "--dtype", "bfloat16"))

    def opened() -> None:
        store = RegionStore(tmp_path / "r")
        store.get(next(iter(store.ids("mine"))))
        store.get(next(iter(store.ids("other"))))

    remedy = refused(opened, "contains bfloat16")
    assert "delete it" in remedy
    shutil.rmtree(tmp_path / "r" / "other")
    run(*words("other", *advised(remedy, r"--dtype \w+").split()))
    opened()


def test_boxes_of_a_folder(images: Path, tmp_path: Path) -> None:
    base = ["regions", "extract", "--images", str(images / "mine"), "--backbone", "microworld", "--out"]
    run(*base, str(tmp_path / "r"), "--boxes", "detect")
    words = [*base, str(tmp_path / "of files"), "--boxes", str(tmp_path / "r" / "mine")]
    assert "give the region files in it" in refused(lambda: run(*words), "this is a folder")
    run(*words[:-1], str(tmp_path / "r" / "mine" / "mine.arrow"))


def test_imports(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", np.zeros(3))  # of another layout
    words = ["regions", "import", str(tmp_path / "1.npy"), "--source", "s", "--detector", "d", "--out", "regions"]
    assert "--format" in refused(lambda: run(*words), "records")
    names = advised(refused(lambda: run(*words, "--format", "csv"), "no format"), "choose one of (.*)").split(", ")
    assert names == list(FORMATS)
    assert "leave --index out" in refused(lambda: run(*words, "--index", "x.json"), "need no index")
    assert "--detector" in refused(lambda: run(*words[:6], " ", *words[7:]), "no name")
    (tmp_path / "both").mkdir()
    for name in ("a.npy", "a.tsv"):
        (tmp_path / "both" / name).touch()
    both = ["regions", "import", "both", *words[3:]]
    remedy = refused(lambda: run(*both), "several formats (npy, tsv)")
    for name in advised(remedy, r"--format (\S+)").split("|"):
        assert "name one" not in refused(lambda name=name: run(*both, "--format", name))


def test_devices() -> None:
    for name in ("cuda:99", "gpu"):
        assert usable(advised(refused(lambda name=name: check_usable(name)), r"--device (\w+)")).type == "cpu"
        assert usable(advised(refused(lambda name=name: usable(name)), r'device="(\w+)"')).type == "cpu"


# --- studies ------------------------------------------------------------------------------------------------------
def test_a_study_begins_again(place: Path, tmp_path: Path) -> None:
    config, study = configuration.load(place / "mine.yaml"), get_study("joint-vs-single", {})
    plan = planned(study, config, seeds=1, arms=("single",))
    out = tmp_path / "my study"
    out.mkdir()
    assert "omit --resume" in refused(lambda: begun(plan, out, True), "no study to resume")
    begun(plan, out, False)
    begun(plan, out, False)  # nothing has been made yet
    (out / f"seed-{plan.seeds[0]}" / "start").mkdir(parents=True)
    remedy = refused(lambda: begun(plan, out, False), "already holds a study")
    assert "add --resume" in remedy and "--out" in remedy
    begun(plan, out, True)
    (tmp_path / "another").mkdir()
    begun(plan, tmp_path / "another", False)
    other = planned(study, config.model_copy(update={"seed": 7}), seeds=1, arms=("single",))
    assert "repeat the command that began it, with --resume" in refused(lambda: begun(other, out, True))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").touch()
    assert "an empty or a new one" in refused(lambda: begun(plan, tmp_path / "foreign", False))
    remedy = refused(lambda: get_study("joint-vs-single", {"longr": 2}), "no such option")
    assert "longer" in remedy and get_study("joint-vs-single", {"longer": 2})
    assert "--seeds 1" in refused(lambda: planned(study, config, seeds=0), "expected 1 or more")
    arms = advised(refused(lambda: planned(study, config, seeds=1, arms=("jointly",))), "choose among (.*)").split(", ")
    for arm in set(arms) - {"norm-scaled"}:
        planned(study, config, seeds=1, arms=(arm,))
    one = configuration.parse(config.model_dump(mode="json") | {"tasks": ["vqa"]})
    assert "name several" in refused(lambda: planned(study, one, seeds=1))
    for name in advised(refused(lambda: get_study("group", {})), "choose among (.*)").split(", "):
        get_study(name, {})
