"""``twelve study list``: every study with its question and its options, as ``--option`` takes them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from shlex import quote
from typing import Any

from twelve.study.studies import STUDIES, Study


def listing(width: int) -> str:
    """All studies as text, wrapped to ``width`` columns."""
    return "\n\n".join("\n".join(_lines(name, study, width)) for name, study in STUDIES.items())


def _lines(name: str, study: type[Study], width: int) -> Iterator[str]:
    yield name
    yield from _wrapped(study.question, width, 2)
    for key, field in study.model_fields.items():
        value = field.get_default(call_default_factory=True)
        yield f"    --option {quote(f'{key}={_yaml(value)}')}"
        yield from _wrapped((field.description or "").replace("`", ""), width, 8)


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, indent + 20),
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


def _yaml(value: Any) -> str:
    """A default as YAML reads it."""
    return value if isinstance(value, str) else json.dumps(value)
