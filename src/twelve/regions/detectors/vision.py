"""Imports torchvision without torch's compiler, whose import takes a second or more. torchvision needs it for one
question only, and only when an operation is compiled."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_COMPILER, _UTILS = "torch._dynamo", "torch._dynamo.utils"


def _is_compile_supported(device_type: Any) -> Any:
    """The compiler's own answer; imports it now."""
    return importlib.import_module(_UTILS).is_compile_supported(device_type)


def import_torchvision() -> None:
    """Import torchvision with a stand-in for the compiler, which imports the compiler when it is called."""
    if "torchvision" in sys.modules or _COMPILER in sys.modules:
        return
    import torch  # noqa: F401 (torch itself uses the real compiler)

    package, asked = ModuleType(_COMPILER), ModuleType(_UTILS)
    package.__path__ = []
    package.utils, asked.is_compile_supported = asked, _is_compile_supported  # type: ignore[attr-defined]
    stand_ins = {_COMPILER: package, _UTILS: asked}
    sys.modules.update(stand_ins)
    try:
        importlib.import_module("torchvision")
    except (
        ImportError,
        AttributeError,
    ):  # another version needs more of the compiler: torchvision is imported later, in the usual way
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


import_torchvision()
