"""What takes long to compute from the regions of many images can be kept for later runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

Keep: TypeAlias = Callable[[str, Sequence[str], Callable[[], NDArray[Any]]], NDArray[Any]]
"""(kind, images, function) -> what the function returns, now or in an earlier run. It depends on nothing but the
detected regions of these images; the kind names a folder of the cache."""


def computed(kind: str, images: Sequence[str], compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """A :data:`Keep` that keeps nothing."""
    return compute()
