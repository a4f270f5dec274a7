"""Imports torchvision without torch's compiler, which takes a second or more and is not needed: torchvision asks it one
thing, and that only where an operation is to be compiled."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_COMPILER, _ASKED = "torch._dynamo", "torch._dynamo.utils"


def _is_compile_supported(device_type: Any) -> Any:
    """What the compiler itself says; it is imported now."""
    return importlib.import_module(_ASKED).is_compile_supported(device_type)


def import_torchvision() -> None:
    """Import torchvision, with something in the compiler's place that asks it when it is asked."""
    if "torchvision" in sys.modules or _COMPILER in sys.modules:
        return
    import torch  # noqa: F401 (whatever it asks of its compiler, it asks of the true one)

    package, asked = ModuleType(_COMPILER), ModuleType(_ASKED)
    package.__path__ = []
    package.utils, asked.is_compile_supported = asked, _is_compile_supported  # type: ignore[attr-defined]
    stand_ins = {_COMPILER: package, _ASKED: asked}
    sys.modules.update(stand_ins)
    try:
        importlib.import_module("torchvision")
    except (ImportError, AttributeError):  # another version asks for more: it is imported as it stands, when it is used
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


import_torchvision()
