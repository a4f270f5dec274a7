"""A step that a report advises, and the commands that run as they stand."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import join, split

from twelve.config import load
from twelve.errors import TwelveError
from twelve.io.files import free
from twelve.report.reading import Run
from twelve.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do.

    Attributes:
        title: what.
        why: the numbers that it follows from, or what to do, in a sentence.
        commands: one or more, in order.
        details: further sentences, which are shown on request.
    """

    title: str
    why: str
    commands: Sequence[str]
    details: str = ""


def sentence(why: str, then: str) -> str:
    """A sentence of a reason, if there is one, and of what to do."""
    return f"{why}: {then}" if why else f"{then[:1].upper()}{then[1:]}"


def command_line(*parts: str | Path) -> str:
    return join(["twelve", *map(str, parts)])


def to_evaluate(run: Run) -> list[str]:
    """The commands that evaluate a run again, if need be after its regions are made again; those of the same extractor
    are evaluated although they have changed."""
    made = [line for remedy in run.other_regions.values() if remedy for line in remedy.split(" && ")]
    allow = ["--allow-changed-data"] if "" in run.other_regions.values() else []
    return [*made, command_line("evaluate", run.folder, *allow), command_line("report", run.folder)]


def to_check(run: Run) -> list[str]:
    """Checks the files of the run's tasks: only its configuration knows its own ones, and where its images are."""
    regions = ("--regions", as_named(run, run.config.regions_folder)) if run.config.regions else ()
    return [command_line("data", "check", as_named(run, run.config.data), "--config", config_of(run), *regions)]


def to_train(config: str | Path, *settings: str) -> str | None:
    """The command that trains with these settings; None if the configuration does not allow them."""
    try:
        load(config, settings)
    except TwelveError:
        return None
    return command_line("train", config, *(word for setting in settings for word in ("--set", setting)))


def to_train_again(run: Run, name: str, *settings: str) -> list[str]:
    """The commands that train with other settings into a new folder, and measure; none if that is not possible."""
    chosen = beside(run, name)
    train, folder = to_train(config_of(run), *settings, chosen), Path(chosen.removeprefix("run="))
    return [] if train is None else [train, command_line("evaluate", folder), command_line("report", folder)]


def only(run: Run, names: Collection[str]) -> Sequence[str]:
    """The setting that trains these tasks alone, unless the run has no others."""
    return () if len(run.config.tasks) == len(names) else (f"tasks=[{','.join(names)}]",)


def beside(run: Run, name: str) -> str:
    """A setting for a run in a new folder beside this one."""
    return f"run={sibling(run.folder, name)}"


def sibling(folder: Path, name: str) -> Path:
    """A new folder beside another, named after it; an absolute path if the other is the current one or above it."""
    folder = folder.resolve() if folder.name in ("", "..") else folder
    return folder.with_name(f"{folder.resolve().name}-{name}")


def next_run(run: Run) -> str:
    """A setting for the next run in a new folder beside this one, named as ``twelve data table --update`` names it:
    RUN-2 after RUN, then RUN-3."""
    folder = run.folder.resolve() if run.folder.name in ("", "..") else run.folder
    first = folder.with_name(re.sub(r"-[0-9]+$", "", folder.resolve().name))
    return f"run={free(first if first.exists() else folder)}"


def config_of(run: Run) -> Path:
    return RunFolder(run.folder).config


def as_named(run: Run, path: str | Path) -> Path:
    """A path of the configuration, which has absolute ones, as the commands name the run's folder: from the current
    folder, if the path is in it."""
    path, current = Path(path), Path.cwd()
    return path.relative_to(current) if not run.folder.is_absolute() and path.is_relative_to(current) else path


def in_program(step: Step) -> Step:
    """The step of a run with parts that no command knows: its commands as calls of a program that defines them."""
    return replace(step, commands=[_called(line) for line in step.commands])


def _called(line: str) -> str:
    """The call in Python that does what a command does; the command itself, where it needs to know no task."""
    _, command, *rest = split(line)
    match command, rest:
        case "evaluate", [run]:
            return f"twelve.runs.evaluate.evaluate_run(Path({run!r}))"
        case "evaluate", [run, "--allow-changed-data"]:
            return f"twelve.runs.evaluate.evaluate_run(Path({run!r}), allow_changed_data=True)"
        case "evaluate", [run, "--split", name]:
            return f"twelve.runs.evaluate.evaluate_run(Path({run!r}), split={name!r})"
        case "report", [run]:
            return f"twelve.report.write.write_report(Path({run!r}))"
        case "train", [config, *options]:
            settings = [word for word in options if word not in ("--set", "--continue")]
            loaded = f"twelve.config.load({config!r}{f', {settings}' if settings else ''})"
            return f"twelve.runs.train.train({loaded}{', go_on=True' if '--continue' in options else ''})"
        case "serve", [run]:
            return f"twelve.web.serve({run!r})"
    return line
