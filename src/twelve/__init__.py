"""One vision-and-language model for twelve datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twelve.errors import InputError, TwelveError
    from twelve.model.config import TwelveConfig
    from twelve.model.processor import TwelveProcessor
    from twelve.model.vilbert import Twelve
    from twelve.predictor import Predictor, load
    from twelve.regions.extraction.extractor import Extractor
    from twelve.regions.extractor_config import ExtractorConfig
    from twelve.types.regions import Regions

from twelve.version import __version__

__all__ = [
    "Extractor",
    "ExtractorConfig",
    "InputError",
    "Predictor",
    "Regions",
    "Twelve",
    "TwelveConfig",
    "TwelveError",
    "TwelveProcessor",
    "__version__",
    "load",
]

# Imported when first used: torch and transformers take seconds, which `twelve --help` must not.
_LAZY = {
    "Extractor": "twelve.regions.extraction.extractor",
    "ExtractorConfig": "twelve.regions.extractor_config",
    "InputError": "twelve.errors",
    "Predictor": "twelve.predictor",
    "Regions": "twelve.types.regions",
    "Twelve": "twelve.model.vilbert",
    "TwelveConfig": "twelve.model.config",
    "TwelveError": "twelve.errors",
    "TwelveProcessor": "twelve.model.processor",
    "load": "twelve.predictor",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__  # not what this file itself imports
