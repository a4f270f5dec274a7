"""The images that a model was trained on, as digests (:mod:`twelve.data.image_digests`)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

BYTES = 6
"""Of a digest: that any of 100,000 images has the digest of one of a million others happens once in 2,800 times."""
MOST = 1 << 22
"""Digests that a model's folder may hold; those of more images are not recorded."""


@dataclass(frozen=True, slots=True)
class TrainedImages:
    """The images that a model was trained on.

    Attributes:
        digests: of the images.
        complete: whether the content of every image is among them. Not if an image had no file, or the model continues
            from one whose images were not recorded.
    """

    digests: frozenset[bytes]
    complete: bool = True

    def joined(self, base: TrainedImages | None) -> TrainedImages:
        """These images and those of the model that the training started from; None if it recorded none."""
        if base is None:
            return TrainedImages(self.digests, complete=False)
        return TrainedImages(self.digests | base.digests, self.complete and base.complete)

    def to_tree(self) -> dict[str, Any]:
        """Plain values."""
        digests = sorted(self.digests) if len(self.digests) <= MOST else []
        complete = self.complete and len(digests) == len(self.digests)
        return {"digests": base64.b64encode(b"".join(digests)).decode("ascii"), "complete": complete}

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> TrainedImages:
        """Inverse of :meth:`to_tree`; check the tree with :func:`sound` first."""
        return cls(frozenset(_parted(base64.b64decode(tree["digests"]))), tree["complete"])


def sound(tree: Any) -> bool:
    """Whether a value read from a file is None or could come from :meth:`TrainedImages.to_tree`."""
    if tree is None:
        return True
    if not isinstance(tree, dict) or tree.keys() != {"digests", "complete"} or type(tree["complete"]) is not bool:
        return False
    text = tree["digests"]
    if not isinstance(text, str) or len(text) > MOST * BYTES // 3 * 4:
        return False
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    digests = _parted(content)
    return len(content) % BYTES == 0 and all(one < other for one, other in pairwise(digests))


def _parted(content: bytes) -> list[bytes]:
    return [content[at : at + BYTES] for at in range(0, len(content), BYTES)]
