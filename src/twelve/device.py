"""Where a network computes, by the name that a person gives."""

from __future__ import annotations

import torch

from twelve.errors import ConfigError


def usable(name: str) -> torch.device:
    """The device of a name (cpu, cuda, cuda:1), known to work.

    Raises:
        ConfigError: there is no such device, or it cannot be used here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    # Which of these torch raises depends on the device; NotImplementedError is a RuntimeError.
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"device {name!r} cannot be used ({why})", remedy="choose --device cpu") from error
    return device
