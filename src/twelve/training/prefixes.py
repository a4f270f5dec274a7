"""Parts of a model, by prefixes of parameter names: ``text`` covers ``text.layers.0.output.norm.bias``."""

from __future__ import annotations

from collections.abc import Iterable

from twelve.errors import ConfigError, nearest


def under(name: str, prefix: str) -> bool:
    """Whether a parameter's name begins with all parts of ``prefix``."""
    return name == prefix or name.startswith(prefix.rstrip(".") + ".")


def under_any(name: str, prefixes: Iterable[str]) -> bool:
    return any(under(name, prefix) for prefix in prefixes)


def check_prefixes(prefixes: Iterable[str], names: Iterable[str], place: str) -> None:
    """Check that every prefix fits a name.

    Args:
        place: the key of the configuration that holds the prefixes.

    Raises:
        ConfigError: names the first prefix that fits none.
    """
    names = list(names)
    for prefix in prefixes:
        if not any(under(name, prefix) for name in names):
            known = sorted({name.partition(".")[0] for name in names})
            raise ConfigError(
                f"no parameter's name begins with {prefix!r}{nearest(prefix, known)}",
                record=place,
                remedy=f"names begin with {', '.join(known)}",
            )
