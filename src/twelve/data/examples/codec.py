"""Values of examples as JSON text and back, exactly.

A JSON array stands for a tuple; a list, a mapping with other keys than strings, and an instance of a dataclass that the
task declares are objects with one key that begins with ``!``. No other class can be named in a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

_LIST, _DICT, _MARK = "!list", "!dict", "!"


class Codec:
    """Encodes None, booleans, numbers, strings, tuples, lists, mappings and instances of ``classes``.

    Args:
        classes: dataclasses whose fields are all arguments of their constructors, by position.
    """

    def __init__(self, classes: Sequence[type] = ()) -> None:
        self._classes = {f"{_MARK}{kind.__name__}": kind for kind in classes}
        if len(self._classes) != len(classes) or not all(map(is_dataclass, classes)):
            raise ValueError(f"not dataclasses of different names: {classes}")

    def encode(self, value: Any) -> str:
        """Raises TypeError for a value of another type."""
        return json.dumps(self._plain(value), ensure_ascii=False, separators=(",", ":"))

    def decode(self, text: str) -> Any:
        """Raises ValueError, LookupError or TypeError for a text that :meth:`encode` did not write."""
        return self._value(json.loads(text))

    def decode_all(self, texts: Iterable[str]) -> Iterator[Any]:
        """:meth:`decode` of many texts, which are parsed at once."""
        return map(self._value, json.loads(f"[{','.join(texts)}]"))

    def _plain(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (str, int, float, bool):
            return value
        if kind is tuple:
            return [self._plain(item) for item in value]
        if kind is list:
            return {_LIST: [self._plain(item) for item in value]}
        if self._classes.get(mark := f"{_MARK}{kind.__name__}") is kind:
            return {mark: [self._plain(getattr(value, field.name)) for field in fields(value)]}
        if isinstance(value, Mapping):
            if all(type(key) is str and not key.startswith(_MARK) for key in value):
                return {key: self._plain(item) for key, item in value.items()}
            return {_DICT: [[self._plain(key), self._plain(item)] for key, item in value.items()]}
        problem = "cannot be written: a task declares its own types in fact_types"
        raise TypeError(f"{kind.__name__} {str(value)[:40]!r} {problem}")

    def _value(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return tuple(map(self._value, tree))
        if not isinstance(tree, dict):
            return tree
        mark = next(iter(tree), "")
        if not mark.startswith(_MARK):
            return {key: self._value(item) for key, item in tree.items()}
        parts = [self._value(item) for item in tree[mark]]
        if mark == _LIST:
            return parts
        return dict(parts) if mark == _DICT else self._classes[mark](*parts)
