"""The pages of the command line, made from the commands themselves whenever the site is built.

An index lists all commands; each command, and each group such as ``twelve data``, has a page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File, Files

from twelve import cli

DOCS = Path(__file__).parents[1]
FOLDER = "reference/cli"
INDEX = f"{FOLDER}/index.md"
INTRODUCTION = """# Command line

Every command of `twelve`, with its options as `twelve COMMAND --help` prints them. Errors are one line: file, record,
remedy. The exit code is 0, 1 if a check failed, 2 for a wrong command or bad input, and 3 for an internal error.

"""
WIDTH = 76
"""Longest line of an example, in characters, that a page shows whole."""
_BEFORE = {"Usage": "Usage: ", "Example": "For example:\n\n"}
"""What precedes a part of the help on the page of a group, which has no headings for these parts."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#])")
_PAGE = re.compile(r"docs/([a-z-]+\.md)")


def on_config(config: Any) -> Any:
    """Add the pages of the commands to the navigation, beside their index."""
    beside = next(pages for pages in _lists(config.nav) if INDEX in pages)
    beside += [{name: place(name)} for name, _ in commands()]
    return config


def on_files(files: Files, config: Any) -> Files:
    pages = {INDEX: index(), **{place(name): page(command, name) for name, command in commands()}}
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def commands() -> list[tuple[str, Any]]:
    """(name, command) of each command and group of ``twelve``, in the order of its help."""
    return [(f"twelve {each.name}", each) for each in inside(typer.main.get_command(cli.app), "twelve")]


def inside(command: Any, name: str) -> list[Any]:
    """The commands of a group; none of a command."""
    if not hasattr(command, "list_commands"):
        return []
    context = command.context_class(command, info_name=name)
    return [command.get_command(context, each) for each in command.list_commands(context)]


def place(name: str) -> str:
    """The page of a command or group; that of ``twelve index`` is not the index."""
    path = f"{FOLDER}/{name.removeprefix('twelve ')}.md"
    return path if path != INDEX else f"{FOLDER}/twelve-index.md"


def index() -> str:
    """A table of all commands."""
    return INTRODUCTION + table((name, f"{place(name).rpartition('/')[2]}", each) for name, each in commands())


def table(rows: Any) -> str:
    """Commands with their links and summaries."""
    lines = (f"| [`{name}`]({link}) | {text(each.get_short_help_str(limit=120))} |\n" for name, link, each in rows)
    return "".join(["| command | |\n|---|---|\n", *lines])


def page(command: Any, name: str) -> str:
    """The page of a command, or of a group with all its commands."""
    within = [(f"{name} {each.name}", each) for each in inside(command, name)]
    if not within:
        about, *parts = sections(command, name)
        return "\n\n".join([f"# {name}", about[1], *(f"## {title}\n\n{said}" for title, said in parts)])
    rows = table((full, f"#{full.replace(' ', '-')}", each) for full, each in within)
    parts = (
        "\n\n".join([f"## {full}", *(f"{_BEFORE.get(title, '')}{said}" for title, said in sections(each, full))])
        for full, each in within
    )
    return "\n\n".join([f"# {name}", text(command.help or ""), rows, *parts])


def sections(command: Any, name: str) -> list[tuple[str, str]]:
    """(title, text) of the help of one command: what it does, its usage, an example, its arguments and options."""
    context = command.context_class(command, info_name=name)
    found = [
        ("", text(command.help or "")),
        ("Usage", f"`{' '.join([name, *command.collect_usage_pieces(context)])}`"),
    ]
    example = re.match(r"Example: (.*)", command.epilog or "", flags=re.S)
    if example:
        lines = "\n".join(map(folded, example[1].strip().splitlines()))
        found.append(("Example", f"```bash\n{lines}\n```"))
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        parameters = (each for each in command.get_params(context) if each.param_type_name == kind)
        records = filter(None, (each.get_help_record(context) for each in parameters))
        rows = [f"`{known}`\n:   {text(said)}" for known, said in records if known != "--help"]
        if rows:
            found.append((title, "\n\n".join(rows)))
    return found


def folded(command: str) -> str:
    """A long command on several lines, which break before options."""
    lines = [""]
    for part in re.split(r"\s+(?=--)", command):
        if lines[-1] and len(lines[-1]) + len(part) + 1 > WIDTH:
            lines.append(f"  {part}")
        else:
            lines[-1] = f"{lines[-1]} {part}".lstrip()
    return " \\\n".join(lines)


def text(said: str) -> str:
    """A help text as Markdown that shows it as it stands; the pages that it names are links with their titles."""
    shown = _SPECIAL.sub(r"\\\1", said.strip())
    return _PAGE.sub(_link, re.sub(r"[ \t]*\n[ \t]*", "\n", shown))


def _link(found: re.Match[str]) -> str:
    """A link to a page of ``docs``, with its title."""
    title, _, _ = (DOCS / found[1]).read_text(encoding="utf-8").partition("\n")
    return f"[{title.removeprefix('# ')}](../../{found[1]})"


def _lists(nav: Any) -> Iterator[list[Any]]:
    """Every list of pages in a navigation."""
    if isinstance(nav, list):
        yield nav
    for part in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
        yield from _lists(part)
