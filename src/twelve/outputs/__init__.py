"""The outputs: one file a kind, found by importing every module of this package."""

from __future__ import annotations

import importlib
import pkgutil

from twelve.errors import ConfigError, nearest
from twelve.outputs.base import OUTPUTS, Output

for _module in pkgutil.iter_modules(__path__):
    if not _module.ispkg:
        importlib.import_module(f"{__name__}.{_module.name}")


def get_output(kind: str) -> Output:
    """The output of ``kind``; raises ConfigError that suggests the nearest known kind."""
    if kind not in OUTPUTS:
        raise ConfigError(
            f"unknown kind of output {kind!r}{nearest(kind, OUTPUTS)}", remedy=f"choose among {', '.join(OUTPUTS)}"
        )
    return OUTPUTS[kind]


__all__ = ["OUTPUTS", "Output", "get_output"]
