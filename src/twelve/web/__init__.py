"""The web service: an HTTP API for a trained model, and a web page that uses it.

twelve serve examples/quickstart-model
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twelve.errors import ConfigError

if TYPE_CHECKING:
    from twelve.web.app import create_app
    from twelve.web.server import serve

__all__ = ["create_app", "serve"]

_LAZY = {"create_app": "twelve.web.app", "serve": "twelve.web.server"}

_EXTRA = ("fastapi", "starlette", "uvicorn", "prometheus_client")
"""Packages of the extra ``web``."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        module = importlib.import_module(_LAZY[name])
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        from twelve.extras import install  # imports importlib.metadata, which nothing else here needs

        raise ConfigError(f"the service needs {error.name}", remedy=install("web")) from None
    return getattr(module, name)
