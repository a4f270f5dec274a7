"""Mistakes in the use of a command - an unknown option, a missing argument - as one line that ends with what to do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from twelve.errors import TwelveError, closest, nearest, one_line, shortened
from twelve.io.image_suffixes import SUFFIXES, repeating
from twelve.io.invalid import bound, problem_of
from twelve.meant import meant

_MEANT = {
    **dict.fromkeys(("--question", "--questions", "--query", "--prompt"), ("--ask",)),
    **dict.fromkeys(("--img", "--imgs", "--picture", "--pictures", "--photo", "--file"), ("--image", "--images")),
    **dict.fromkeys(("--phrase", "--find", "--point", "--where", "--box"), ("--locate",)),
    **dict.fromkeys(("--statement", "--hypothesis", "--check", "--entail"), ("--entails",)),
    **dict.fromkeys(("--gpu", "--cuda"), ("--device",)),
}
"""Option that other programs have -> what means the same here, whatever it is called: the nearest spelling may not."""

_SEVERAL = "a process serves one model: start several behind nginx (docs/deploy.md, Several processes, and updates)"
_RESTART = "start the new process beside the old one (docs/deploy.md, Several processes, and updates)"
_TLS = "put a reverse proxy with TLS in front of the service (docs/deploy.md, Behind a reverse proxy)"
_ELSEWHERE = {
    **{("twelve serve", option): _SEVERAL for option in ("--workers", "--processes", "--replicas")},
    ("twelve serve", "--threads"): "set OMP_NUM_THREADS (docs/deploy.md, Threads)",
    **{("twelve serve", option): _RESTART for option in ("--reload", "--watch")},
    **{("twelve serve", option): _TLS for option in ("--ssl-keyfile", "--ssl-certfile", "--certfile", "--keyfile")},
}
"""(command, option that other servers have) -> what to do here."""


_PREDICT = "twelve predict RUN --image FILE"
COMMANDS = {
    **dict.fromkeys(
        ("search", "find", "retrieve", "rank"), 'twelve match RUN "a red boat" --images FOLDER --index FILE'
    ),
    **dict.fromkeys(
        ("ask", "answer", "question", "query", "vqa", "infer"), f'{_PREDICT} --ask "what colour is the boat?"'
    ),
    **dict.fromkeys(("locate", "ground", "detect"), f'{_PREDICT} --locate "the red boat"'),
    **dict.fromkeys(("entails", "entail"), f'{_PREDICT} --entails "there is a boat"'),
    **dict.fromkeys(("choose", "guess", "verify"), "twelve predict RUN --jsonl FILE"),
    **dict.fromkeys(("web", "server", "api", "http", "demo", "app"), "twelve serve RUN"),
    **dict.fromkeys(("test", "eval", "validate"), "twelve evaluate RUN"),
    **dict.fromkeys(("fit", "finetune", "fine-tune"), "twelve train CONFIG"),
    **dict.fromkeys(("extract", "features"), "twelve regions extract"),
    **dict.fromkeys(("download", "fetch"), "twelve data fetch"),
    "check": "twelve data check ROOT",
    **dict.fromkeys(("upload", "publish"), "twelve push RUN OWNER/MODEL --dry-run FOLDER"),
}
"""Command that people try -> how the command that does it is called."""


_NUMBER = re.compile(r"Input should be a valid (?:integer|number), unable to parse string as an? (?:integer|number)")
"""What the library says of a word in the place of a number."""


_EXTRA = "got unexpected extra argument"
"""How the library begins to say that arguments are left over."""


_KEYS = ("data", "regions", "run", "seed", "tasks")
"""Keys of a configuration that people try as options, beside those of :mod:`twelve.meant`."""


def mistake(root: Any, words: Sequence[str], error: Any) -> str:
    """What is wrong with a command line, and the remedy.

    Args:
        root: the group ``twelve``.
        words: the arguments of the command line.
        error: typer's, which has no public type.
    """
    name, command = "twelve", root
    for word in words:
        if word not in (below := getattr(command, "commands", {})):
            break
        name, command = f"{name} {word}", below[word]
    option = getattr(error, "option_name", None)
    found = error.format_message().rstrip(".")
    if option is not None and hasattr(error, "possibilities"):
        options = [spelt for each in command.params for spelt in (*each.opts, *each.secondary_opts) if spelt[0] == "-"]
        hint = _meant(option, options) or _spelt(option, [*options, "--help"])
        if _settings(command):
            hint = _key(option) or hint
        found = f"no such option {option}{hint}"
        if (read := _ELSEWHERE.get((name, option.partition("=")[0]))) is not None:
            return one_line(f"no such option {option} -> {read}; run {name} --help for all options")
    elif found.startswith("No such command "):
        unknown = found.split("'")[1]
        options = [*(spelt for each in command.params for spelt in each.opts), "--help"]
        hint = f' (did you mean "{name} --{unknown}"?)' if f"--{unknown}" in options else ""
        found = f"no such command {unknown!r}"
        if command is root and (line := COMMANDS.get(unknown)) is not None:
            known = re.split(r" (?=[^a-z])", line, maxsplit=1)[0]
            return one_line(f'{found} (did you mean "{known}"?) -> e.g. {line}; run {known} --help for all options')
        found += hint or nearest(unknown, command.commands)
    else:
        found = _NUMBER.sub("expected a number", _of_size(found, error)).replace("argument(s)", "arguments")
        found = found[:1].lower() + found[1:] + _meaning(command, error, option)
        extra = found.partition(" (")[2].removesuffix(")") if found.startswith(_EXTRA) else ""
        if (repeat := _repeating(command, words, extra)) is not None:
            return one_line(f"{shortened(found, 300)} -> {repeat}")
        if extra and _settings(command):
            found += f' (did you mean "--set {extra}"?)' if "=" in extra and " " not in extra else ""
    example = str(command.epilog or "").removeprefix("Example: ")
    remedy = f"run {name} --help for all {'commands' if hasattr(command, 'commands') else 'options'}"
    return one_line(f"{found} -> {f'e.g. {example}; ' if example else ''}{remedy}")


def _of_size(found: str, error: Any) -> str:
    """A message in which a number is too small or too large, in the words of the others."""
    refused: list[Any] = getattr(error.__cause__ or error.__context__, "errors", list)()
    if not refused or bound(refused[0]) is None:
        return found
    return found.replace(str(refused[0]["msg"]), problem_of(refused[0], str))


def _meant(option: str, options: Collection[str]) -> str:
    """A hint at the option that means the same; empty if the command has none."""
    known = next((name for name in _MEANT.get(option, ()) if name in options), None)
    return "" if known is None else f' (did you mean "{known}"?)'


def _spelt(option: str, options: Collection[str]) -> str:
    """A hint at the option with the nearest spelling; empty if none is near. The dashes do not count: all options have
    them."""
    names = {each.lstrip("-"): each for each in options}
    near = closest(option.partition("=")[0].lstrip("-"), names)
    return "" if near is None else f' (did you mean "{names[near]}"?)'


def _repeating(command: Any, words: Sequence[str], extra: str) -> str | None:
    """What to write where a shell has put several images after an option that takes one (``--image *.jpg``).

    Args:
        words: the arguments of the command line.
        extra: those that are left over, separated by spaces.
    """
    left = [word for word in words if f" {word} " in f" {extra} " and Path(word).suffix.lower() in SUFFIXES]
    if not left or not any("--image" in each.opts for each in command.params):
        return None
    return repeating("--image", left)


def _key(option: str) -> str:
    """A hint at the key of the configuration that an option names, as ``--epochs`` does; empty if there is none."""
    name = option.removeprefix("--").partition("=")[0].replace("-", "_")
    key = name if name in _KEYS else meant([name], _KEYS)
    return "" if key is None else f' (did you mean "--set {key}=..."?)'


def _settings(command: Any) -> bool:
    """Whether a command takes ``--set``."""
    return any("--set" in each.opts for each in command.params)


def resuming(words: list[str]) -> str:
    """How to resume an interrupted ``twelve train``, from its arguments: the last checkpoint, and the command."""
    from twelve.config import load
    from twelve.run_folder import RunFolder

    rest = [word for word in words if word not in ("--resume", "--continue")]
    settings = [after for before, after in pairwise(rest) if before == "--set"]
    settings += [word.removeprefix("--set=") for word in rest if word.startswith("--set=")]
    named = [after for before, after in pairwise(rest) if before != "--set" and not after.startswith("--")]
    try:
        run = RunFolder(load(named[0], settings).run)
    except (TwelveError, IndexError):
        return "run it with --continue to resume from the last checkpoint, if there is one"
    saved, again = run.saved(), shlex.join(["twelve", *rest, "--continue"])
    if not saved and run.holds_training():  # a model alone, which training does not overwrite without --continue
        return f"no checkpoint yet; start again: {again}"
    if not saved:
        return "nothing is saved yet: run it again"
    return f"resume from {saved[-1].name}: {again}"


def _meaning(command: Any, error: Any, option: str | None) -> str:
    """The help of the option or argument that is missing, or that has no value."""
    parameter = getattr(error, "param", None)
    if parameter is None:
        parameter = next((each for each in command.params if option in each.opts), None)
    words = str(getattr(parameter, "help", None) or "").rstrip(".")
    return f" ({words[:1].lower() + words[1:]})" if words else ""
