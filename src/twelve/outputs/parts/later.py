"""torch, imported when it is first used.

Importing torch takes a second or more. What an output says about itself (its name, its wording, the questions it
answers) is needed before that, so the files of this package take torch from here. Modules (``nn.Module``) need the real
one when they are defined; they are in :mod:`twelve.outputs.parts.heads`, which outputs import inside ``head``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch as torch
    import torch.nn.functional as F
    from torch import Tensor as Tensor
    from torch import nn as nn
else:
    import importlib

    class _Later:
        def __init__(self, module: str) -> None:
            self._module = module

        def __getattr__(self, name: str) -> Any:
            value = getattr(importlib.import_module(self._module), name)
            setattr(self, name, value)
            return value

    torch, nn, F = (_Later(module) for module in ("torch", "torch.nn", "torch.nn.functional"))
    Tensor = Any  # named in annotations alone

__all__ = ["F", "Tensor", "nn", "torch"]
