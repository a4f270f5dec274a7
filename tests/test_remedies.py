"""What errors advise: every command, option, key, page and package that the program's texts name is there, and a remedy
that is followed leads to the right result.

The first half reads the source, so that no advice can be forgotten; the second provokes errors and follows them.
"""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from twelve import cli
from twelve import config as configuration

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


ASKING = ("predict", "match", "serve")
RUNS = ("train", "evaluate", "quickstart", "report", "study joint-vs-single")
SAID_BY: dict[str, tuple[str, ...]] = {
    "regions/importers": ("regions import",),
    "regions": ("regions extract", "regions merge", *ASKING),
    "data/clean.py": ("data clean", *RUNS),
    "data": ("data check", "data clean", "data stats", "data vocabulary", *RUNS),
    "microworld": ("data make-microworld", "data train-detector", "quickstart"),
    "predictor": ASKING,
    "web": ("serve",),
    "scoring": ("score",),
    "tasks": ("score", "data check", *RUNS),
    "training": RUNS,
    "evaluation": ("evaluate", "report", "score"),
    "model": ("convert", "export", *ASKING, *RUNS),
    "study": ("study joint-vs-single", "study show"),
    "config": RUNS,
    "inheriting": RUNS,
    "device": (*ASKING, "regions extract"),
    "quickstart.py": ("quickstart",),
}
"""Place -> commands that print its texts: an option named without a command must be one of theirs."""
OTHERS = {"--nproc-per-node": "torchrun", "--untracked-files": "git", "--heat": "the page"}
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


def wrong_packages(text: Text) -> Iterator[str]:
    extras = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    packages = {re.split(r"[\[<>=]", each)[0] for needs in extras.values() for each in needs} | {"wandb", "trackio"}
    for quote, name in re.findall(r"pip install (['\"]?)([^\s'\",;)]+)", text.text):
        extra = re.fullmatch(r"twelve\[(\w+)\]", name)
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
    assert {text.file for text in remedies} > {"files.py", "config.py", "regions/store.py", "study/results.py"}
    assert sum("twelve " in text.text for text in remedies) > 15


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_is_advised_is_there(check: Any) -> None:
    wrong = [f"{text}: {why}" for text in texts() for why in check(text)]
    assert not wrong, "\n".join(wrong)


SEEDED = (
    ("training/run.py", "remedy='go on: twelve trian CONFIG'", wrong_commands, "no command twelve trian"),
    ("training/run.py", "remedy='twelve train CONFIG --resum'", wrong_commands, "has no option --resum"),
    ("training/run.py", "remedy='see it: twelve evaluate'", wrong_usage, None),
    ("training/run.py", "remedy='see it: twelve evaluate RUN RUN'", wrong_usage, "does not take this"),
    ("training/run.py", "remedy=f'see it: twelve evaluate {folder}'", wrong_quoting, "quote the path"),
    ("training/run.py", "remedy=f'see it: twelve evaluate {quoted(folder)}'", wrong_quoting, None),
    ("regions/importers/run.py", "remedy='check --from'", wrong_options, "an option --from"),
    ("regions/importers/run.py", "remedy='say --index FILE'", wrong_options, None),
    ("config.py", "remedy='--set training.epoch=3'", wrong_keys, "training.epoch"),
    ("config.py", "remedy='--set tasks.vqa.look=SPLIT'", wrong_keys, None),
    ("config.py", "remedy='lower vocabulary.mincount'", wrong_keys, "vocabulary.mincount"),
    ("config.py", "remedy='see docs/config.md'", wrong_pages, "docs/config.md"),
    ("config.py", "remedy='see configs/real.yaml'", wrong_pages, "real.yaml"),
    ("web/app.py", "remedy='pip install \"twelve[www]\"'", wrong_packages, "no extra"),
    ("web/app.py", "remedy='pip install twelve[web]'", wrong_packages, "quote it"),
    ("config.py", "remedy='check it'", wrong_words, "tells nobody"),
)
"""(file, source, check, what it says): what must be noticed, and beside it what is right."""


@pytest.mark.parametrize(("file", "source", "check", "said"), SEEDED, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_noticed(file: str, source: str, check: Any, said: str | None) -> None:
    found = [why for text in texts_of(file, f"raise E('x', {source})") for why in check(text)]
    assert (said is None and not found) or (said is not None and found and said in found[0]), found
