"""Who writes small files of tasks beyond the twelve: every ``tests/tiny_extra_*.py``.

Such a module has ``REPORTS`` ({task: the split that is measured}), ``settings(task)``, the part of a configuration that
names the task, and ``make(root, train, val)``, which adds the files for so many images to a data root of
tiny_others.make.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

EXTRAS: list[ModuleType] = [
    importlib.import_module(path.stem) for path in sorted(Path(__file__).parent.glob("tiny_extra_*.py"))
]
