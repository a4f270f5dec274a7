"""Reads the YAML of configurations: plain values, and every key once."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from twelve.errors import ConfigError, found_in
from twelve.io import json_file
from twelve.io.files import reading_remedy
from twelve.io.yaml_flaws import flaw

_LARGEST = 1 << 20
"""Most bytes of a configuration; usual ones have a few thousand."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that occurs twice in a mapping, whole numbers of more than 64 bits, and half surrogate pairs."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                problem = f"the key {key.value!r} occurs in line {lines[key.value]} and again in line {line}"
                raise ConfigError(problem, record=f"line {line}", remedy="remove one of the two")
            lines[key.value] = line
        return super().construct_mapping(node, deep)

    def _whole_number(self, node: yaml.ScalarNode) -> int:
        if abs(value := self.construct_yaml_int(node)) >= 1 << 63:
            raise yaml.constructor.ConstructorError(None, None, "a whole number of more than 64 bits", node.start_mark)
        return value

    def _words(self, node: yaml.ScalarNode) -> str:
        if not (text := self.construct_yaml_str(node)).isascii() and any("\ud800" <= mark <= "\udfff" for mark in text):
            raise yaml.constructor.ConstructorError(None, None, "a text with half a character", node.start_mark)
        return text


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader._whole_number)
_StrictLoader.add_constructor("tag:yaml.org,2002:str", _StrictLoader._words)


def read_text(file: Path) -> str:
    """The text of a configuration.

    Raises:
        ConfigError: it cannot be read, is not text, or is too large.
    """
    try:
        with json_file.opened(file) as stream:
            content = stream.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            problem = f"expected at most {_LARGEST:,} bytes, found {file.stat().st_size:,}"
            raise ConfigError(problem, file=file, remedy="start from a shipped one: twelve configs NAME")
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", file=file, remedy=reading_remedy(error, file, "copy it again")
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"expected YAML in UTF-8, found byte {content[error.start]:#04x} at {error.start}",
            file=file,
            remedy="name a configuration; if it is one, save it as UTF-8",
        ) from None


def read_yaml(text: str, origin: str | Path) -> Any:
    """The plain values in a YAML text.

    Raises:
        ConfigError: it is not YAML, or gives a key twice; names ``origin`` and the line.
    """
    try:
        with found_in(origin):
            return yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as error:
        found = flaw(text, error)
        raise ConfigError(
            f"not valid YAML: {found.problem}", file=origin, record=found.where, remedy=found.remedy
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        raise ConfigError(
            f"not valid YAML: {error}",
            file=origin,
            remedy="correct what is named, or start from a shipped one: twelve configs NAME",
        ) from None
