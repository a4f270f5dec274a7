"""The outputs: one file a kind, found by importing every module of this package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twelve.errors import ConfigError, nearest
from twelve.io import json_file
from twelve.outputs.base import OUTPUTS, Output
from twelve.run_folder import MODEL_FILES, in_a_program

for _module in pkgutil.iter_modules(__path__):
    if not _module.ispkg:
        importlib.import_module(f"{__name__}.{_module.name}")


_HEADS = {kind: type(output).head for kind, output in OUTPUTS.items()}
"""Kind of this package -> what makes its head."""


def get_output(kind: str) -> Output:
    """The output of ``kind``, which the package of a task may bring.

    Raises:
        ConfigError: the kind is unknown (suggests the nearest known one); or it is one of this package, and a program
            has given it another head.
    """
    if not _registered(kind):
        raise ConfigError(
            f"unknown kind of output {kind!r}{nearest(kind, OUTPUTS)}", remedy=f"choose among {', '.join(OUTPUTS)}"
        )
    check_head(OUTPUTS[kind], kind, _HEADS.get(kind))
    return OUTPUTS[kind]


def _registered(kind: str) -> bool:
    if kind not in OUTPUTS:
        from twelve.tasks.base import all_tasks

        all_tasks()  # imports the packages of tasks
    return kind in OUTPUTS


def check_head(output: Output, kind: str, made: Callable[..., Any] | None) -> None:
    """Raise ConfigError if ``output`` makes its head with another method than ``made``, that of ``kind``, under which a
    model names its head."""
    if made not in (None, type(output).head):
        raise ConfigError(
            f"{type(output).__name__} has a head of its own, but the model would record it as the kind {kind!r}",
            remedy="give the class a kind of its own, decorate it with twelve.outputs.base.register, and name this "
            "kind in a task of your own (docs/train-from-code.md, An output head of your own)",
        )


def foreign(output: Output) -> bool:
    """Whether an output is defined outside of this package."""
    return not type(output).__module__.startswith("twelve.")


def check_kinds(folder: Path) -> None:
    """Check that the kinds of the heads of the model saved in a folder are known; nothing else of it is checked.

    Raises:
        ConfigError: nothing has registered one of them.
    """
    file = folder / MODEL_FILES[0]
    tree = None if file.is_symlink() else json_file.read_or_none(file)  # nothing outside the folder is read
    heads = tree.get("heads") if isinstance(tree, dict) else None
    for key, head in heads.items() if isinstance(heads, dict) else ():
        kind = head.get("kind") if isinstance(head, dict) else None
        if isinstance(kind, str) and not _registered(kind):
            raise ConfigError(
                f"its output {kind!r} is none of twelve's, and nothing has registered it",
                file=file,
                record=f"heads.{key}",
                remedy=f"{in_a_program(folder)}; or install the package that registers it (docs/add-a-task.md)",
            )


__all__ = ["OUTPUTS", "Output", "check_head", "check_kinds", "foreign", "get_output"]
