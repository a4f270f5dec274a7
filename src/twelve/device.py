"""Where a network computes, by the name that a person gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twelve.errors import ConfigError, nearest

if TYPE_CHECKING:
    import torch

IN_SHELL = "choose --device cpu"
"""What to do about an option."""
KINDS = ("cpu", "cuda", "mps", "xpu")


def check_name(name: str) -> None:
    """Raise ConfigError for what names no device (of :data:`KINDS`, such as cuda:1), whether or not it is here."""
    kind, _, number = name.partition(":")
    if kind not in KINDS or (":" in name and not re.fullmatch(r"\d{1,3}", number)):
        raise ConfigError(f"device {name!r} cannot be used: there is none{_meant(kind)}", remedy=IN_SHELL)


def _meant(kind: str) -> str:
    """The name of a device that is close to a misspelt one, as a hint; "" if there is none."""
    return nearest("cuda" if kind.lower() == "gpu" else kind, KINDS)


def check_usable(name: str) -> None:
    """Raise ConfigError for an option ``--device`` that names no device, or none that can be used here."""
    check_name(name)
    if name != "cpu":  # else torch need not be imported
        usable(name, IN_SHELL)


def usable(name: str, remedy: str = 'choose device="cpu"') -> torch.device:
    """The device of a name (cpu, cuda, cuda:1), known to work.

    Raises:
        ConfigError: there is no such device, or it cannot be used here.
    """
    import torch

    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:  # with a list of what torch knows
        problem = f"device {name!r} cannot be used (expected cpu, cuda or cuda:NUMBER){_meant(str(name))}"
        raise ConfigError(problem, remedy=remedy) from error
    try:
        torch.empty(1, device=device).cpu()
    # Which of these torch raises depends on the device; NotImplementedError is a RuntimeError.
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"device {name!r} cannot be used ({why})", remedy=remedy) from error
    return device
