"""The paths in a configuration: made absolute for a run's own copy, and found again after the run was moved.

Paths in a configuration that a person writes are relative to the current folder. A run's own configuration can be read
from any folder, so it holds absolute paths, ``run`` among them. If the run was moved since, a file that used to lie
beside it is looked for beside its new place first (everything was moved together), then at its old place (only the run
was moved).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
"""Last parts of keys whose values may also be names on the hub or of modules."""


def absolute(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's tree with absolute paths, from the current folder."""

    def whole(path: str, key: str) -> str:
        return path if key in _MAYBE and not os.path.exists(path) else os.path.abspath(path)

    return _changed(tree, whole)


def moved(tree: Mapping[str, Any], was: str, now: Path) -> dict[str, Any]:
    """A configuration's tree after its run was moved from ``was`` to ``now``: a path that exists at the same place
    relative to ``now`` is changed, others stay."""
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
    """A copy with ``change(path, key)`` instead of every path."""

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
