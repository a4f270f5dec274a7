"""The studies, one file each; they are found by importing every module of this package."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from twelve.errors import ConfigError, nearest, places
from twelve.io import files
from twelve.io.invalid import problem_of
from twelve.study.studies.base import STUDIES, Study

__all__ = ["FROM_FILES", "STUDIES", "Study", "get_study"]

FROM_FILES: dict[str, type[Study]] = {}
"""Studies that files registered, by name. They are not listed: a file belongs to the one who named it."""

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def get_study(name: str, options: Mapping[str, Any]) -> Study:
    """A study with its options.

    Args:
        name: of a registered study, or a Python file that registers one.

    Raises:
        ConfigError: there is no such study, or no such option; or a value of the wrong type.
    """
    study = _from_file(Path(name)) if name.endswith(".py") else STUDIES.get(name)
    if study is None:
        problem, remedy = f"unknown study {name!r}{nearest(name, STUDIES)}", f"choose among {', '.join(STUDIES)}"
        raise ConfigError(problem, record="study", remedy=remedy)
    try:
        return study.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        place, known = ".".join(map(str, first["loc"])), ", ".join(study.model_fields) or "none"
        problem = problem_of(first)
        if first["type"] == "extra_forbidden":
            problem = f"the study {study.name} has no such option{nearest(place, study.model_fields)}"
        raise ConfigError(problem, record=place, remedy=f"its options: {known}") from None


def _from_file(path: Path) -> type[Study]:
    """The study that a file registers."""
    if not files.is_there(path, ConfigError):
        raise ConfigError("no such file", file=path, remedy="name a Python file with a study (docs/studies.md)")
    before = dict(STUDIES)
    spec = importlib.util.spec_from_file_location(f"twelve_study_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # the name ends with .py
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except ConfigError as error:
        raise error.located(path) from error.__cause__
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else line_of(error, path)
        problem, record = f"cannot be imported ({type(error).__name__}: {error})", line and f"line {line}"
        raise ConfigError(problem, file=path, record=record, remedy="correct it there (docs/studies.md)") from error
    finally:
        new = [study for name, study in STUDIES.items() if name not in before]
        for study in new:
            FROM_FILES[study.name] = STUDIES.pop(study.name)
    for study in new:
        study.file = path
    if len(new) != 1:
        problem = f"registers {len(new)} studies, expected one"
        raise ConfigError(problem, file=path, remedy="decorate one class with @register (docs/studies.md)")
    return new[0]


def line_of(error: BaseException, path: Path) -> int | None:
    """The line of a file in which an error arose; None if it arose elsewhere."""
    lines = [line for file, line, *_ in places(error) if file == os.path.abspath(path)]
    return lines[-1] if lines else None


def at_fault(error: Exception) -> tuple[str, str] | None:
    """Where an error arose in the file of a study, and what to do; None if it arose in none."""
    for study in FROM_FILES.values():
        if study.file is not None and (line := line_of(error, study.file)) is not None:
            return f"{study.file}, line {line}", f"correct it there: this file defines the study {study.name}"
    return None
