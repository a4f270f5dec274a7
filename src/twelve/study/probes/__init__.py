"""Probes: what an arm can have measured while it trains, one file each. observing.py says what a probe is.

They are found by importing every module of this package.
"""

from __future__ import annotations

import importlib
import pkgutil

from twelve.study.observing import PROBES

__all__ = ["PROBES"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
