"""The page of configuration keys, made from the typed settings whenever the site is built."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import griffe
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from roles import ROLE

from twelve import settings

PAGE = "reference/settings.md"
INTRODUCTION = """# Configuration keys

Every key of a configuration with its type, its default and what it means, read from the code. This page is for looking
a key up; [Configuration](../configuration.md) explains what to choose. `--set training.iterations=100` changes a key on
the command line, and the configurations of the package (`twelve configs`) show keys in use.

"""


def on_files(files: Files, config: Any) -> Files:
    files.append(File.generated(config, PAGE, content=INTRODUCTION + "".join(sections())))
    return files


def sections() -> Iterator[str]:
    """Markdown of the keys at the top, then of each section."""
    source = griffe.load("twelve.settings", search_paths=[Path(settings.__file__).parents[1]])
    keys = settings.RunConfig.model_fields
    inner = {name: found for name, field in keys.items() if (found := section_of(field.annotation)) is not None}
    yield "## The run\n\n"
    yield from entries(settings.RunConfig, "", source, skip=inner)
    for name, section in inner.items():
        prefix = f"{name}.TASK." if name == "tasks" else f"{name}."
        said = (documented(source, settings.RunConfig, name), documented(source, section))
        yield f"## {name}\n\n" + "".join(f"{text}\n\n" for text in said if text)
        yield from entries(section, prefix, source)


def entries(section: type[BaseModel], prefix: str, source: Any, skip: Any = ()) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if name not in skip:
            default = "required" if field.default is PydanticUndefined and not field.default_factory else shown(field)
            kind = source[section.__name__][name].annotation
            yield f"`{prefix}{name}`\n:   `{kind}`, {default}. {documented(source, section, name)}\n\n"


def shown(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "absent by default"
    return f"default `{value}`" if value not in ({}, (), "") else "empty by default"


def documented(source: Any, section: type[BaseModel], name: str = "") -> str:
    """The docstring of a section or of a key."""
    found = source[section.__name__][name] if name else source[section.__name__]
    text = " ".join(found.docstring.value.split()) if found.docstring else ""
    return ROLE.sub(r"`\1`", text)


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a key holds: itself, optional, or one for each task."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType) or get_args(annotation)[:1] == (str,):
        return next(filter(None, map(section_of, get_args(annotation))), None)
    return None
