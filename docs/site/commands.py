"""The pages of the command line, made from the commands themselves whenever the site is built.

An index lists all commands; each command, and each group such as ``twelve data``, has a page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.structure.files import File, Files

from twelve import cli

FOLDER = "reference/cli"
INDEX = f"{FOLDER}/index.md"
INTRODUCTION = """# Command line

Every command of `twelve`, with its options as `twelve COMMAND --help` prints them. Errors are one line: file, record,
remedy. The exit code is 0, 1 if a check failed, 2 for a wrong command or bad input, and 3 for an internal error.

"""
WIDTH = 76
"""Longest line of an example, in characters, that a page shows whole."""
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
    """The page of a command or group."""
    return f"{FOLDER}/{name.removeprefix('twelve ')}.md"


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
        return f"# {name}\n\n{section(command, name)}"
    rows = table((full, f"#{full.replace(' ', '-')}", each) for full, each in within)
    parts = (f"## {full}\n\n{section(each, full)}" for full, each in within)
    return "\n".join([f"# {name}\n\n{text(command.help or '')}\n", rows, *parts])


def section(command: Any, name: str) -> str:
    """The help of one command: what it does, an example, its arguments and options."""
    context = command.context_class(command, info_name=name)
    parts = [text(command.help or ""), f"Usage: `{' '.join([name, *command.collect_usage_pieces(context)])}`"]
    example = re.match(r"Example: (.*)", command.epilog or "", flags=re.S)
    if example:
        parts.append("For example:\n\n```bash\n" + "\n".join(map(folded, example[1].strip().splitlines())) + "\n```")
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [f"`{name}`\n:   {text(said)}\n" for name, said in filter(None, records) if name != "--help"]
    return "\n\n".join([*parts, "\n".join(rows)]) + "\n"


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
    """A help text as Markdown that shows it as it stands; the pages that it names are links."""
    shown = _SPECIAL.sub(r"\\\1", said.strip())
    return _PAGE.sub(r"[docs/\1](../../\1)", re.sub(r"[ \t]*\n[ \t]*", "\n", shown))


def _lists(nav: Any) -> Iterator[list[Any]]:
    """Every list of pages in a navigation."""
    if isinstance(nav, list):
        yield nav
    for part in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
        yield from _lists(part)
