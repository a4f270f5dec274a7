"""docs/configuration.md against the code: every key with its type and default, and nothing that is no key."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from twelve.config import BASE
from twelve.io.yaml_text import read_yaml
from twelve.model.settings import defaults
from twelve.settings import RunConfig, TaskSettings
from twelve.tasks.base import all_tasks, get
from twelve.tasks.custom import FileTask
from twelve.training.balancing import BALANCINGS
from twelve.training.schedules import SCHEDULES

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
SPLITS = re.compile(r"(?<!\\)\|")
FOLLOW = {"vocab_size", "v_feature_size", "v_target_size", "heads", "contrast", "pretraining", "task_specific_tokens"}
"""Fields of a model that follow from the run."""


def tables() -> list[list[list[str]]]:
    """The cells of every table, its header first."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^\|.*\n\|[-|]+\|\n(?:\|.*\n)+", text, flags=re.M)
    return [[[cell.strip() for cell in SPLITS.split(row)[1:-1]] for row in table.splitlines()] for table in found]


def with_header(*header: str) -> list[list[str]]:
    """Rows of the tables whose header begins like this."""
    return [row for first, _, *rows in tables() if first[: len(header)] == [*header] for row in rows]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def described() -> dict[str, tuple[str, str]]:
    """Key -> (type, default) in the tables."""
    rows = {codes(row[0])[0]: (row[1], row[2]) for row in with_header("key", "type", "default")}
    tasks = {codes(row[0])[0]: (row[1], row[2]) for row in with_header("key of `tasks.TASK`", "type", "default")}
    return rows | {f"tasks.TASK.{key}": found for key, found in tasks.items()}


def same(said: str, default: Any) -> bool:
    """Whether what is said is this value in YAML."""
    plain = [*default] if isinstance(default, tuple) else default
    return (float(said) if isinstance(plain, float) else read_yaml(said, PAGE)) == plain


def section(annotation: Any) -> type[BaseModel] | None:
    """The section that a key of this type holds, if it may be absent or not."""
    for each in get_args(annotation) or (annotation,):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def keys(of: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(key, field) of a section and of those in it; settings of tasks aside."""
    for name, field in of.model_fields.items():
        inner = section(field.annotation)
        if inner is None or inner is TaskSettings:
            yield prefix + name, field
        else:
            yield from keys(inner, f"{prefix}{name}.")


KEYS = dict(keys(RunConfig)) | dict(keys(TaskSettings, "tasks.TASK."))


def test_every_key_is_described_and_nothing_else() -> None:
    assert set(described()) == {*KEYS, BASE}


@pytest.mark.parametrize("key", KEYS)
def test_the_default_of_a_key_is_that_of_the_code(key: str) -> None:
    said, field = described()[key][1], KEYS[key]
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        assert said.startswith("required")
    elif default is None:
        assert said and not re.fullmatch(r"`[^`]+`", said)  # in words
    else:
        assert re.fullmatch(r"`[^`]+`", said) and same(said.strip("`"), default)


def in_words(annotation: Any, said: str) -> bool:
    """Whether a description of a type fits it."""
    origin, inside = get_origin(annotation), [each for each in get_args(annotation) if each is not type(None)]
    if origin in (Union, types.UnionType):
        return all(in_words(each, said) for each in inside)
    if origin is Literal:
        return set(inside) <= set(codes(said))
    if origin is not None and issubclass(origin, tuple):
        return said.startswith("list of ")
    if origin is not None and issubclass(origin, Mapping):
        return " -> " in said
    return said.split(",")[0] in ({"str", "path"} if annotation is str else {annotation.__name__})


@pytest.mark.parametrize("key", KEYS)
def test_the_type_of_a_key_is_that_of_the_code(key: str) -> None:
    assert in_words(KEYS[key].annotation, described()[key][0])


def test_the_defaults_of_tasks_are_those_of_the_code() -> None:
    rows = with_header("task", "`batch_size`", "`learning_rate`", "`max_text`", "`train`", "`test_split`")
    *rows, own = rows
    found = {name: row[1:] for row in rows for name in codes(row[0])}
    known = {name: get(name) for name in all_tasks()}
    known = {name: task for name, task in known.items() if type(task).__module__.startswith("twelve.tasks.")}
    assert set(found) == set(known)
    said = [(own[1:4], FileTask.defaults), *((found[name][:3], task.defaults) for name, task in known.items())]
    for numbers, default in said:
        assert [*map(float, numbers)] == [default.batch_size, default.learning_rate, default.max_text]
    assert all(found[name][3:] == [task.train_split, task.test_split] for name, task in known.items())


def test_the_sizes_of_a_model_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("### Sizes of a new model")[2].partition("\n## ")[0]
    found = dict(re.findall(r"\| `(\w+)` (.+?) (?=\|)", text))
    assert set(found) | FOLLOW == set(defaults()) and set(codes(text)) >= FOLLOW
    assert [name for name, said in found.items() if not same(said, defaults()[name])] == []


def options(known: type) -> dict[str, Any]:
    found = inspect.signature(known).parameters.values()
    return {each.name: each.default for each in found if each.kind is inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(("part", "known"), [("schedule", SCHEDULES), ("balancing", BALANCINGS)])
def test_the_options_of_schedules_and_methods_are_those_of_the_code(part: str, known: Mapping[str, type]) -> None:
    rows = {name: row[-1] for row in with_header(f"`{part}.name`") for name in codes(row[0])}
    assert set(rows) == set(known)
    stops = {codes(row[0])[0]: row[2].strip("`") for row in with_header("option", "type", "default")}
    for name, said in rows.items():
        given = stops if said == "below" else dict(re.findall(r"`(\w+)`: ([^;(]+)", said))
        wanted = options(known[name])
        assert set(given) == set(wanted) or set(given) - {"cooldown", "reset_epochs"} == set(wanted)
        for option, default in wanted.items():
            value = given[option].strip()
            if default is None:
                assert value in ("none", "number of tasks")
            else:
                assert same(value, default), (name, option)
