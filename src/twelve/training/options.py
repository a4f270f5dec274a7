"""Options of what a configuration chooses by name: the keyword-only arguments of its class, checked by their types."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from twelve.errors import ConfigError, nearest
from twelve.io.invalid import instead, problem_of

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def check_options(section: str, known: Mapping[str, type], name: str, options: Mapping[str, Any]) -> None:
    """Check the name and options that a ``section`` of the configuration gives against the ``known`` classes.

    Raises:
        ConfigError: no such class or option (names the nearest one), or a value of the wrong type or range.
    """
    if name not in known:
        raise ConfigError(
            f"unknown {section} {name!r}{nearest(name, known)}",
            record=f"{section}.name",
            remedy=f"choose among {', '.join(known)}",
        )
    hints = get_type_hints(known[name].__init__, include_extras=True)  # type: ignore[misc]
    parameters = inspect.signature(known[name]).parameters.values()
    given = {each.name: each.default for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    types = {option: hints[option] for option in given}
    for option, value in options.items():
        if option not in types:
            raise ConfigError(
                f"{section} {name!r} has no option {option!r}{nearest(option, types)}",
                record=f"{section}.options",
                remedy=f"its options: {', '.join(sorted(types)) or 'none'}",
            )
        try:
            TypeAdapter(types[option], config=_STRICT).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = (section, "options", option)
            defaults = () if given[option] is inspect.Parameter.empty else (given[option],)
            remedy = instead(first, place, types[option], defaults) or "see docs/configuration.md"
            record = ".".join(map(str, (*place, *first["loc"])))
            raise ConfigError(problem_of(first), record=record, remedy=remedy) from None
