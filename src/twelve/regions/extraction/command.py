"""``twelve regions extract``: what the command's words mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twelve.config import load
from twelve.formats.data_root import DataRoot
from twelve.regions.detectors.by_name import takes_levels
from twelve.regions.extraction.extract import ExtractReport, extract
from twelve.regions.sizes import InputSize
from twelve.tasks.custom import own_tasks

LEVELS = "4,8,16,32"
"""Of those tried on the real sample these served best, at a third of the size of those with the network's head."""


def run_extract(
    images: Sequence[Path],
    boxes: Sequence[str],
    backbone: str,
    out: Path,
    *,
    levels: str | None = None,
    short_side: int | None = None,
    max_scale: float | None = None,
    config: str | None = None,
    **options: Any,
) -> ExtractReport:
    """See :func:`twelve.regions.extraction.extract.extract`, which takes ``options``.

    Args:
        levels: names of levels with commas between; None takes :data:`LEVELS` of a network that has a choice.
        short_side, max_scale: of :class:`twelve.regions.sizes.InputSize`; where neither is given, images enter the
            network as it likes them.
        config: a configuration with tasks of one's own, for ``given:TASK``.
    """
    if config is not None and (data := options.get("data")) is not None:
        options["data"] = DataRoot(data, own_tasks=own_tasks(load(config).tasks))
    if levels is None and takes_levels(backbone) and "patches" not in boxes:
        levels = LEVELS
    size = None
    if short_side is not None or max_scale is not None:
        usual = InputSize()
        size = InputSize(
            short_side=usual.short_side if short_side is None else short_side,
            max_scale=usual.max_scale if max_scale is None else max_scale,
        )
    names = None if levels is None else [name.strip() for name in levels.split(",")]
    return extract(images, list(boxes), backbone, out, levels=names, input_size=size, **options)
