"""Reading the configuration of a run (settings.py).

A file is YAML; ``--set a.b=c`` changes one value. An unknown key is an error that names the nearest known one.
Files are looked for as given, then among those the package ships (``configs/real-sample.yaml``). Paths in them are
relative to the current folder; those in a run's own configuration lead to the same files from anywhere (io/paths.py).
A file with ``base: OTHER`` starts from another file; each of its values changes one there, as ``--set`` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from twelve.config_checks import check_names
from twelve.errors import ConfigError, TwelveError, closest, found_in, nearest, quoted
from twelve.inheriting import by_name, inherited
from twelve.io.files import is_there
from twelve.io.invalid import instead, problem_of
from twelve.io.yaml_text import read_text, read_yaml
from twelve.meant import TASK, meant
from twelve.renamed import renamed
from twelve.run_folder import RunFolder, of_run
from twelve.settings import RunConfig

SHIPPED = Path(__file__).parent / "configs"
BASE = "base"
"""Key of a file: the configuration that it starts from."""
TOLD = 10
"""Most mistakes that are told at once."""
_LONG = 110
_NEAR = 0.72
"""Least similarity of a name that is suggested: two-tasks and study-four-tasks, which share their ending, have 0.64."""


def shipped() -> dict[str, Path]:
    """Configurations that come with the package, by name."""
    return {path.name: path for path in sorted(SHIPPED.glob("*.yaml"))}


def described(path: Path) -> tuple[str, str]:
    """The command of a shipped configuration and a short sentence on its purpose, from the comment at its top: the
    command, an empty line, the purpose."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = [line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines)]
    start = comment.index("")
    sentence = re.split(r"(?<=\.)\s+(?=[A-Z0-9])", " ".join(comment[start:]).strip(), maxsplit=1)[0]
    if len(sentence) > _LONG:  # without its asides
        sentence = re.sub(r" \([^)]*\)", "", sentence).partition(";")[0].rstrip(".") + "."
    return " ".join(comment[:start]), sentence


def find(path: str | Path) -> Path:
    """The file itself if it exists, else the shipped configuration of that name."""
    path = Path(path)
    if not path.is_dir() and is_there(path, ConfigError):
        return path
    known = shipped()
    if not path.is_dir() and path.parent in (Path(), Path("configs")):
        for name in (path.name, f"{path.name}.yaml"):
            if name in known:
                return known[name]
    listed = "for the shipped ones: twelve configs"
    if path.is_dir():
        remedy = f"name a file{_inside(path)}; {listed}"
        raise ConfigError("expected a configuration file, found a folder", file=path, remedy=remedy)
    problem = f"no such file, and no shipped configuration of this name{_alike(path)}"
    raise ConfigError(problem, file=path, remedy=f"check the path; {listed}")


def _inside(folder: Path) -> str:
    """The configuration in a folder, if it holds one only; that of a run comes with how to resume it."""
    try:
        found = [one for one in sorted(folder.iterdir()) if one.suffix in (".yaml", ".yml") and one.is_file()]
    except OSError:
        return ""
    if len(found) != 1:
        return ""
    more = " --continue" if found[0] == RunFolder(folder).config else ""
    return f": {quoted(found[0])}{more}"


def _alike(path: Path) -> str:
    """A hint at the configuration with the nearest name, shipped or beside ``path``."""
    above = str(path).removesuffix(path.name)  # so that the hint can be pasted
    names = {Path(name).stem: name for name in shipped()}  # the endings say nothing
    with suppress(OSError):
        there = sorted(one for one in path.parent.iterdir() if one.suffix in (".yaml", ".yml") and one.is_file())
        names |= {one.stem: above + one.name for one in there}
    if not (near := closest(path.stem, names, cutoff=_NEAR)):
        return _of_run_beside(path)
    return f' (did you mean "{names[near]}"?)'


def _of_run_beside(path: Path) -> str:
    """A hint at the configuration of the run with the nearest name, where ``path`` names a run's folder or file."""
    named = RunFolder(path.parent if path == RunFolder(path.parent).config else path).path
    with suppress(OSError):
        runs = [one.name for one in sorted(named.parent.iterdir()) if RunFolder(one).config.is_file()]
        if near := closest(named.name, runs):
            above = str(named).removesuffix(named.name)
            return f' (did you mean "{RunFolder(above + near).config}"?)'
    return ""


def load(path: str | Path, settings: Sequence[str] = ()) -> RunConfig:
    """Read a configuration and apply settings.

    Args:
        path: a YAML file, or the name of a shipped one (:func:`shipped`).
        settings: ``a.b=c`` as ``--set`` takes it, with a value in YAML.

    Raises:
        ConfigError: not YAML, an unknown key, a value of the wrong type, an unknown task.
    """
    file = find(path)
    tree = _read(file)
    if BASE in tree:
        tree = _over_base(tree, file, chosen=any(setting.startswith("tasks=") for setting in settings))
    return made(tree, settings, file)


def _read(file: Path) -> dict[str, Any]:
    """The tree of a file; raises ConfigError if it is not a mapping in YAML."""
    tree = read_yaml(read_text(file), file)
    if not isinstance(tree, dict):
        raise ConfigError(
            "must be a mapping of keys to values",
            file=file,
            remedy="start from a shipped one: twelve configs real-sample.yaml > mine.yaml",
        )
    return of_run(tree, file)


def _over_base(tree: Mapping[str, Any], file: Path, *, chosen: bool) -> dict[str, Any]:
    """The tree of the file's base, with the file's own values.

    Args:
        chosen: a setting chooses among all tasks of the base, whatever the file leaves out.

    Raises:
        ConfigError: there is no such base, or it has a base itself; or the file leaves out a task that the base lacks.
    """
    changes = dict(tree)
    name = changes.pop(BASE)
    if not isinstance(name, str):
        problem = f"must be the name of a configuration, found {repr(name)[:40]}"
        raise ConfigError(problem, file=file, record=BASE, remedy="write base: paper.yaml, for example")
    with found_in(file):
        base = _read(find(name))
    if BASE in base:
        problem = f"{name} has a base itself: a base must be a complete configuration"
        remedy = f"write base: {base[BASE]}, and repeat what {name} changes"
        raise ConfigError(problem, file=file, record=BASE, remedy=remedy)
    if chosen and "tasks" in changes:
        tasks = changes.pop("tasks")
        kept = {name: task for name, task in tasks.items() if task is not None} if isinstance(tasks, dict) else {}
        changes |= {"tasks": kept} if kept else {}
    return _merged(base, changes, (), str(file))


def _merged(tree: dict[str, Any], changes: Mapping[str, Any], place: tuple[str, ...], origin: str) -> dict[str, Any]:
    for key, value in changes.items():
        if isinstance(value, dict) and value and all(isinstance(each, str) for each in value):
            tree = _merged(tree, value, (*place, key), origin)
        else:
            tree = _changed(tree, (*place, key), value, origin)
    return tree


def made(tree: Mapping[str, Any], settings: Sequence[str], file: str | Path) -> RunConfig:
    """The configuration of a tree of plain values with ``a.b=c`` settings; ``file`` is only named in errors.

    Raises:
        ConfigError: as :func:`load`.
    """
    tree = dict(tree)
    for setting in settings:
        tree = _apply(tree, setting)
    with naming(file, settings):
        return parse(inherited(tree))


def load_run(folder: str | Path, settings: Sequence[str] = ()) -> RunConfig:
    """Configuration of an existing run, with ``a.b=c`` settings.

    Raises:
        ConfigError: the folder holds no run, nothing has registered an output of its model, or as :func:`load`.
    """
    from twelve.outputs import check_kinds

    run = RunFolder(folder)
    run.check()
    check_kinds(run.model)  # before its task, which is not registered either, is told to be unknown
    return load(run.config, settings)


@contextmanager
def naming(path: str | Path, settings: Sequence[str] = ()) -> Iterator[None]:
    """Errors from within that name no file are put down to the last setting that reaches the key, or to this file."""
    try:
        yield
    except TwelveError as error:
        others = [each.located(_origin(each, path, settings)) for each in error.others]
        found = error.located(_origin(error, path, settings))
        found.others = others
        if found is error:
            raise
        raise found from None


def _origin(error: TwelveError, path: str | Path, settings: Sequence[str]) -> str:
    """The setting or the file that holds the key that an error is about."""
    file, place = str(path if Path(path).is_dir() else find(path)), f"{error.record}." if error.record else "."
    for setting in reversed(settings):
        key = setting.partition("=")[0] + "."
        if place.startswith(key):
            return f"--set {setting}"
        if key.startswith(place):  # the setting changes a part of the place; the file may hold the rest
            return f"{file} with --set {setting}"
    return file


def parse(tree: Mapping[str, Any], file: str | Path | None = None) -> RunConfig:
    """Validate a tree of plain values.

    Args:
        tree: what a YAML file would contain.
        file: named in errors.

    Raises:
        ConfigError: unknown keys, values of the wrong type, an unknown task (several at once: ``others``).
    """
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        first, *others = (_mistake(each, file) for each in islice(_told(error.errors()), TOLD))
        first.others = others
        raise first from None
    with nullcontext() if file is None else found_in(file):
        check_names(config)
    return config


def _mistake(error: Mapping[str, Any], file: str | Path | None) -> ConfigError:
    """One of ``ValidationError.errors()`` in our words."""
    where = [str(part) for part in error["loc"]]
    message, remedy = problem_of(error), _instead(error) or "see docs/configuration.md"
    if error["type"] == "extra_forbidden":
        known = _keys_at(where[:-1])
        message = f"unknown key{nearest(where[-1], known, ''.join(f'{each}.' for each in where[:-1]))}"
        remedy = f"known here: {', '.join(known)}"
        if (key := meant(where, known)) is not None:
            message, remedy = f'unknown key (did you mean "{key}"?)', f"write {key}"
            remedy += f", where {TASK} is the name of a task" if TASK in key.split(".") else ""
        if (name := renamed(where)) is not None:
            message, remedy = "a key of an earlier version", f"it is called {name} now: rename it"
    elif error["type"] in ("missing", "tuple_type") and where[0] == "optimizer":
        message, remedy = "two numbers are needed", "write [0.9, 0.999]"
    elif error["type"] == "missing":
        message, remedy = (
            "this key is required",
            f"add {'.'.join(where)} to the file, or --set {'.'.join(where)}=VALUE",
        )
    return ConfigError(message, file=file, record=".".join(where), remedy=remedy)


def _told(errors: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The errors to tell of: where a key is missing and a similar one is unknown, it is misspelt, not missing."""
    unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    for error in errors:
        *above, name = error["loc"] or ("",)
        misspelt = (each for each in unknown if [*each[:-1]] == above and closest(str(each[-1]), [str(name)]))
        if error["type"] != "missing" or next(misspelt, None) is None:
            yield error


def _apply(tree: dict[str, Any], setting: str) -> dict[str, Any]:
    """The tree with one setting."""
    key, equals, text = setting.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"cannot read setting {setting!r}", remedy="write --set a.b=value")
    return _changed(tree, key.split("."), read_yaml(text, f"--set {setting}"), f"--set {setting}")


def _changed(tree: dict[str, Any], parts: Sequence[str], value: Any, origin: str) -> dict[str, Any]:
    """The tree with one value at the place ``parts``; ``origin`` is named in errors."""
    node = tree
    if parts[0] == "tasks":
        tree["tasks"] = by_name(tree.get("tasks"))  # tasks: [a, b] in the file
        with found_in(origin):
            chosen = _chosen_tasks(tree["tasks"], parts[1:], value)
        if chosen is not None:
            return tree | {"tasks": chosen}
    for part in parts[:-1]:
        child = node.get(part)
        if not isinstance(child, dict):
            child = {}
        node[part] = child
        node = child
    node[parts[-1]] = value
    return tree


def _chosen_tasks(tasks: Any, below: Sequence[str], value: Any) -> dict[str, Any] | None:
    """What ``tasks=[a, b]`` and ``tasks.a=null`` leave of the tasks, each with the settings that it had; None for any
    other setting.

    Raises:
        ConfigError: the task to leave out is not there.
    """
    there = tasks if isinstance(tasks, dict) else {}
    names = by_name(value)
    if not below and isinstance(value, list) and isinstance(names, dict):
        return {name: there.get(name) for name in names}
    if len(below) != 1 or value is not None:
        return None
    if below[0] not in there:
        raise ConfigError(
            f"there is no task {below[0]!r} to leave out{nearest(below[0], there)}",
            record=f"tasks.{below[0]}",
            remedy=f"to add it with its defaults: --set tasks.{below[0]}={{}}",
        )
    return {name: settings for name, settings in there.items() if name != below[0]}


def _instead(error: Mapping[str, Any]) -> str | None:
    """What to write instead of a refused value; None where nobody knows."""
    where = [str(part) for part in takewhile(lambda part: isinstance(part, str), error["loc"])]
    if error["type"] in ("model_type", "model_attributes_type"):
        return f"put keys and values below it; known there: {', '.join(_section(where).model_fields)}"
    field = _section(where[:-1]).model_fields.get(where[-1]) if where else None  # a key that is a number is no text
    if field is None:
        return None
    default = None if field.is_required() else field.default
    if len(where) == 3 and where[0] == "tasks":
        from twelve.tasks.base import all_tasks

        default = getattr(getattr(all_tasks().get(where[1]), "defaults", None), where[2], default)
    return instead(error, where, field.annotation, (default, *(field.examples or ())))


def _section(path: Sequence[str]) -> type[BaseModel]:
    """The section that ``path`` leads to, or the last one on the way."""
    model: type[BaseModel] = RunConfig
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        for inner in (annotation, *get_args(annotation)):  # contrast: ContrastSettings | None
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner  # tasks: Mapping[str, TaskSettings]
    return model


def _keys_at(path: Sequence[str]) -> list[str]:
    """Known keys of the section that ``path`` leads to."""
    return list(_section(path).model_fields)
