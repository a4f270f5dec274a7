"""A trained model as a service: an HTTP API and a page that uses it.

twelve serve runs/real-sample
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twelve.web.app import create_app
    from twelve.web.server import serve

__all__ = ["create_app", "serve"]

_LAZY = {"create_app": "twelve.web.app", "serve": "twelve.web.server"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
