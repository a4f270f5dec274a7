"""The paths of a configuration: as a run keeps them, and where they lead after a move.

A configuration that somebody writes names files as every program does, relative to the folder one stands in. A run's
own config.yaml is read from anywhere: it keeps absolute paths, ``run`` among them. Where the run lies elsewhere by now,
what lay beside it is looked for beside it first (all were moved or copied together), then where it was (the run alone
was).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CONFIG = "config.yaml"
"""A run's complete configuration, in its folder."""
_BESIDE = ("machine.json", "validation_images.json")
"""One of these lies beside a run's own configuration, and beside nobody else's."""
_PATHS = (
    "run",
    "data",
    "regions",
    "model.init",
    "model.text_encoder",
    "model.tokenizer",
    "vocabulary.label_maps.*",
    "schedule.options.measured.*",
)
"""Keys whose values are paths; ``*`` stands for every key or place below."""
_MAYBE = ("text_encoder", "tokenizer")
"""The last part of those that may also be another name: of a hub's model, of a module."""


def absolute(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's tree with its paths absolute, from the folder one stands in."""

    def whole(path: str, key: str) -> str:
        return path if key in _MAYBE and not os.path.exists(path) else os.path.abspath(path)

    return _changed(tree, whole)


def of_run(tree: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """A configuration's tree as it was read from a file; of a run's own, with its paths as they are now."""
    folder = file.parent
    if file.name != CONFIG or not any((folder / name).is_file() for name in _BESIDE):
        return dict(tree)
    return {**moved(tree, str(tree.get("run", "")), folder), "run": str(folder)}


def moved(tree: Mapping[str, Any], was: str, now: Path) -> dict[str, Any]:
    """A configuration's tree with every path that is there beside ``now`` as it was beside ``was``; others stay."""
    if not was or os.path.abspath(was) == os.path.abspath(now):
        return dict(tree)

    def found(path: str, key: str) -> str:
        if os.path.isabs(path) != os.path.isabs(was):
            return path
        try:
            beside = os.path.normpath(os.path.join(now, os.path.relpath(path, was)))
        except ValueError:  # on another drive
            return path
        return beside if os.path.exists(beside) else path

    return _changed(tree, found)


def _changed(tree: Mapping[str, Any], change: Callable[[str, str], str]) -> dict[str, Any]:
    """A copy whose paths went through ``change``, which also gets the key; what is no path is left as it is."""

    def below(node: Any, parts: list[str], key: str) -> Any:
        if not parts:
            return change(node, key) if isinstance(node, str) and node and "\0" not in node else node
        if parts[0] == "*":
            if isinstance(node, Mapping):
                return {name: below(value, parts[1:], key) for name, value in node.items()}
            return [below(value, parts[1:], key) for value in node] if isinstance(node, list | tuple) else node
        if not isinstance(node, Mapping) or parts[0] not in node:
            return node
        return {**node, parts[0]: below(node[parts[0]], parts[1:], parts[0])}

    found = dict(tree)
    for path in _PATHS:
        found = below(found, path.split("."), "")
    return found
