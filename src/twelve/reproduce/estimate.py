"""How long the stages of a reproduction take, roughly.

The evaluation, which is long: the number of pairs of a text and an image, times the operations that the model needs for
a full pair, by the speed of a matrix product that is measured on this machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from twelve.metrics.retrieval import CAPTIONS
from twelve.outputs import get_output
from twelve.reproduce.measures import Measure
from twelve.runs.convert import PAPER
from twelve.tasks.base import Task, get

NETWORK = 20e6
"""Bytes a second of a download: the speed of many connections, not a measured one."""
CONVERSION = 20.0
"""Seconds that a model of the released one's size takes to convert, on one core of an AMD EPYC (Zen 5)."""
IMPORT = 80e6
"""Bytes of regions a second that an import of released features writes, on the same core."""
EXTRACTION = 11.0
"""Seconds that x152 needs for one image on two cores (docs/the-papers-numbers.md)."""
REGIONS = 101
"""Regions of an image with the global one."""
OTHERS = 1.3
"""Everything but matrix products, as a factor."""
UNKNOWN = 20_000
"""Examples of a split whose official number no source states."""
IMAGE_BYTES = 100 * (2048 * 2 + 16)
"""Of an image's regions in the store."""


def operations(words: int, regions: int = REGIONS, sizes: Mapping[str, Any] = PAPER) -> float:
    """Floating-point operations of the original's two streams for one text of ``words`` pieces and one image.

    A layer of width H with a feed-forward part of width F needs 2 (4 H H + 2 H F) a position, and 4 H for every pair of
    positions; a connection projects each stream to its own width, attends to the other one, and has both
    feed-forward parts.
    """
    wide, high, joint = sizes["hidden_size"], sizes["v_hidden_size"], sizes["bi_hidden_size"]
    text = 2 * (4 * wide * wide + 2 * wide * sizes["intermediate_size"]) * words + 4 * wide * words**2
    image = 2 * (4 * high * high + 2 * high * sizes["v_intermediate_size"]) * regions + 4 * high * regions**2
    shared = sum(
        2 * (4 * width * joint + 2 * width * inner) * positions
        for width, inner, positions in (
            (wide, sizes["intermediate_size"], words),
            (high, sizes["v_intermediate_size"], regions),
        )
    )
    shared += 8 * joint * words * regions
    layers = sizes["num_hidden_layers"] * text + sizes["v_num_hidden_layers"] * image
    return float(layers + len(sizes["t_biattention_id"]) * shared)


def pairs(task: Task, measure: Measure) -> int:
    """Pairs of a text and an image that a measurement scores, by the official number of examples."""
    examples, images = task.official_counts.get(measure.split, (None, None))
    if get_output(task.kind).ranks_gallery:
        protocol = task.protocol(measure.split, measure.protocol)
        gallery = protocol.gallery or images or 1000
        return protocol.galleries * CAPTIONS * gallery * gallery
    return (examples or UNKNOWN) * get_output(task.kind).images


def speed(seconds: float = 0.3) -> float:
    """Operations a second of a matrix product of float32 numbers, on the device that an evaluation uses."""
    import torch

    from twelve.processes import own_device

    device = own_device()
    size = 8192 if device.type == "cuda" else 1024
    one = torch.ones(size, size, device=device)
    float((one @ one)[0, 0])  # reading a number waits for the product
    started, done = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        float((one @ one)[0, 0])
        done += 1
    return 2 * size**3 * done / (time.monotonic() - started)


def spent(seconds: float) -> str:
    """``5400 -> '1.5 hours'``; one digit that counts, as for an estimate."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(1, round(seconds))} seconds"


def seconds(measure: Measure, count: int, speed: float) -> float:
    """Seconds for ``count`` pairs at ``speed`` operations a second."""
    return OTHERS * count * operations(get(measure.task).defaults.max_text) / speed


def images(task: Task, measure: Measure) -> int:
    """Images of a split by the official numbers, or a guess."""
    examples, found = task.official_counts.get(measure.split, (None, None))
    return found or (examples or UNKNOWN) * get_output(task.kind).images
