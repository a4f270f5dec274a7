"""YAML as configurations are written in it: plain values, every key once."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from twelve.errors import ConfigError, found_in


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key stands once in its mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                problem = f"the key {key.value!r} stands in line {lines[key.value]} and again in line {line}"
                raise ConfigError(problem, record=f"line {line}", remedy="remove one of the two")
            lines[key.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(text: str, origin: str | Path) -> Any:
    """The plain values in a YAML text.

    Raises:
        ConfigError: it is not YAML, or gives a key twice; names ``origin`` and the line.
    """
    try:
        with found_in(origin):
            return yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else f"line {mark.line + 1}"
        problem = f"not valid YAML: {error.problem or error.context}"
        raise ConfigError(
            problem,
            file=origin,
            record=line,
            remedy="correct this line: docs/configuration.md shows how one is written",
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        raise ConfigError(
            f"not valid YAML: {error}",
            file=origin,
            remedy="correct what is named, or start from a shipped one: twelve configs NAME",
        ) from None
