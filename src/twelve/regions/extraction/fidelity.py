"""What a faster precision costs: a few images of an extraction, looked at in fp32 too."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from twelve.progress import Track
from twelve.regions.detectors.x152.fidelity import Fidelity, compare
from twelve.regions.extraction.box_sources import BoxSource
from twelve.regions.extraction.feature_extractor import Extractor
from twelve.regions.extraction.pipeline import NotFinite
from twelve.types.half_precision import as_float32
from twelve.types.regions import Regions

LOOKED_AT = 3
"""Images that are compared: what fp32 is asked for must not cost what bf16 saves."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Regions as they are stored, in tensors."""

    boxes: Tensor
    features: Tensor
    class_ids: Tensor | None


def fidelities(
    extractor: Extractor, asked: Sequence[tuple[BoxSource, Mapping[str, Path]]], *, progress: bool = True
) -> list[Fidelity | None]:
    """How far an extractor's regions, as it would store them, are from those of the same network in fp32.

    Args:
        extractor: of any precision; one in fp32 is compared with nothing.
        asked: box sources, each with its images by id, of which the first :data:`LOOKED_AT` good ones count.
        progress: show the progress, and print what was found.

    Returns:
        One of each box source; None where the extractor is itself in fp32, or no image was good.
    """
    looker = extractor.looker.exact() if asked else None
    if looker is None:
        return [None] * len(asked)
    exact = looker.to(torch.device(extractor.device))
    name = extractor.looker.precision
    found: list[Fidelity | None] = []
    for supply, paths in asked:
        faster, true = (extractor.pipeline([supply], {}, which) for which in (extractor.looker, exact))
        theirs: list[_Kept] = []
        ours: list[_Kept] = []
        with Track(f"comparing {name} with fp32", min(LOOKED_AT, len(paths)), "images", shown=progress) as bar:
            for key, path in paths.items():
                if len(ours) == LOOKED_AT:
                    break
                try:
                    pair = [_kept(run.one(path, key)[0]) for run in (true, faster)]
                except NotFinite:
                    raise
                except Exception:  # the extraction will say what is wrong with this image
                    continue
                theirs.append(pair[0])
                ours.append(pair[1])
                bar.advance()
        fidelity = compare(theirs, ours) if ours else None
        found.append(fidelity)
        if fidelity is not None and progress:
            print(f"{name} beside fp32: {fidelity}", file=sys.stderr, flush=True)
    return found


def _kept(regions: Regions) -> _Kept:
    assert regions.features is not None
    classes = None if regions.class_ids is None else torch.from_numpy(regions.class_ids)
    return _Kept(torch.from_numpy(regions.boxes), torch.from_numpy(as_float32(regions.features)), classes)
