"""Probes: what an arm can have measured while it trains, one file each. observing.py says what a probe is.

They are found by importing every module of this package.
"""

from __future__ import annotations

import importlib
import pkgutil

from twelve.errors import ConfigError
from twelve.study.observing import PROBES, Observed, Probe

__all__ = ["PROBES", "probe_of"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def probe_of(name: str, observed: Observed) -> Probe:
    """Make a probe.

    Raises:
        ConfigError: it lacks a method.
    """
    probe = PROBES[name](observed)
    lacking = [each for each in ("found", "state_dict", "load_state_dict") if not hasattr(probe, each)]
    if lacking:
        problem = f"the probe {name!r} lacks {', '.join(lacking)}"
        raise ConfigError(problem, remedy="an interrupted run would lose what it measured: see docs/studies.md")
    return probe
