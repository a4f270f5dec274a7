"""Groups of command-line options as dataclasses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take a dataclass of options: its fields become options beside the command's other parameters."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind) and isinstance(kind, type)}
    owners: dict[str, str] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        own = [parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)]
        if parameter.name in groups:
            kind = groups[parameter.name]
            types = get_type_hints(kind, include_extras=True)
            own = [each.replace(annotation=types[name]) for name, each in inspect.signature(kind).parameters.items()]
            owners |= {each.name: parameter.name for each in own}
        parameters += own

    def run(**values: Any) -> None:
        fields: dict[str, dict[str, Any]] = {name: {} for name in groups}
        for name in owners.keys() & values.keys():
            fields[owners[name]][name] = values.pop(name)
        command(**values, **{name: kind(**fields[name]) for name, kind in groups.items()})

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
