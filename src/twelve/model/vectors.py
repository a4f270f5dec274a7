"""The contrast head's vectors of many texts and images, and the rows of a gallery that are closest to them.

Axes: T texts, I images, D width of the vectors, K places of a shortlist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twelve.data.batch import Collator
from twelve.model.network import Network

BATCH = 128
"""Texts or images in a forward pass."""
BLOCK = 1 << 24
"""Similarities computed at once: 64 MiB in float32."""


@torch.inference_mode()
def text_vectors(
    model: Network, collator: Collator, texts: Sequence[str], *, advance: Callable[[int], None] = lambda _: None
) -> Tensor:
    """(T, D) float32 unit vectors of texts, on the CPU; raises ConfigError without a contrast head.

    Args:
        advance: told how many texts were encoded.
    """
    found = torch.empty(len(texts), model.config.contrast)
    order = np.argsort([len(text) for text in texts], kind="stable")
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        ids, mask = collator.texts([texts[row] for row in rows])
        inputs = [None if part is None else part.to(model.device) for part in (ids, mask, collator.rows(len(rows)))]
        states = model.encode_texts(inputs[0], inputs[1], task_rows=inputs[2])  # type: ignore[arg-type]
        found[torch.from_numpy(rows)] = model.text_vectors(states).float().cpu()
        advance(len(rows))
    return found


@torch.inference_mode()
def image_vectors(
    model: Network, collator: Collator, images: Sequence[str], *, advance: Callable[[int], None] = lambda _: None
) -> Tensor:
    """(I, D) float32 unit vectors of images, on the CPU; as :func:`text_vectors`."""
    found = torch.empty(len(images), model.config.contrast)
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        states = model.encode_images(*collator.images(part, model.device))
        found[start : start + len(part)] = model.image_vectors(states).float().cpu()
        advance(len(part))
    return found


def closest(queries: Tensor, gallery: Tensor, count: int) -> NDArray[np.int64]:
    """(Q, K) rows of ``gallery`` (I, D) that are closest to each of ``queries`` (Q, D), closest first; K is ``count``
    or I, if that is less."""
    count = min(count, len(gallery))
    found = np.empty((len(queries), count), np.int64)
    block = max(1, BLOCK // max(1, len(gallery)))
    for start in range(0, len(queries), block):
        part = queries[start : start + block] @ gallery.T
        found[start : start + len(part)] = part.topk(count, dim=1).indices.numpy()
    return found
