"""What pretraining hides: words and regions, chosen for a whole batch at once.

The shares are BERT's (Devlin et al. 2019) for words and ViLBERT's (Lu et al. 2019) for regions; that regions which
overlap a chosen one are hidden with it is from "12-in-1" (Lu et al. 2020, section 3), whose released program computes
these overlaps and leaves the features in place.

Axes: T texts, I images, L text length, R regions (without the global one here), F features.
"""

from __future__ import annotations

from twelve.outputs.parts.later import Tensor, torch

CHOSEN = 0.15
"""Share of the words and of the regions that the model is asked for."""
MASKED = 0.8
"""Share of the chosen words that become the mask's word piece ..."""
CHANGED = 0.1
"""... and of those that become any word piece; the others stay."""
ZEROED = 0.9
"""Share of the chosen regions that lose their feature; the others keep it."""
OVERLAP = 0.4
"""Intersection over union above which a region tells too much of a chosen one."""


def hide_words(input_ids: Tensor, words: Tensor, draw: Tensor, *, mask: int, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Texts with hidden words, and what was there.

    Args:
        input_ids: (T, L) int64.
        words: (T, L) bool, True where a word may be chosen (no padding, none of the special ones).
        draw: (T, L) float64, uniform in 0..1: it decides whether a word is chosen, and what then stands in its place.
        mask: word piece that stands for a hidden one.
        vocabulary: number of word pieces.

    Returns:
        (T, L) input_ids, and (T, L) int64 labels: the word piece where one was chosen, else -1.
    """
    chosen, share = words & (draw < CHOSEN), draw / CHOSEN  # which is uniform in 0..1 among the chosen
    anything = ((share - MASKED) / CHANGED * vocabulary).long().clamp(0, vocabulary - 1)
    shown = torch.where(share < MASKED, mask, torch.where(share < MASKED + CHANGED, anything, input_ids))
    return torch.where(chosen, shown, input_ids), torch.where(chosen, input_ids, -1)


def choose_regions(boxes: Tensor, present: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
    """Which regions the model is asked for, and which lose their feature.

    Args:
        boxes: (I, R, 4 or more) x1, y1, x2, y2 in any unit.
        present: (I, R) bool, False beyond an image's regions.
        draw: (I, R) float64, uniform in 0..1.

    Returns:
        chosen (I, R) bool, and hidden (I, R) bool: most of the chosen ones, and all that overlap a chosen one.
    """
    chosen = present & (draw < CHOSEN)
    others = ~torch.eye(present.shape[1], dtype=torch.bool)
    near = (overlaps(boxes) > OVERLAP) & others & chosen[:, :, None]
    return chosen, present & ((chosen & (draw < CHOSEN * ZEROED)) | near.any(1))


def overlaps(boxes: Tensor) -> Tensor:
    """(I, R, R) intersection over union of every two boxes (I, R, 4 or more) of an image; 0 where both are empty."""
    corners = boxes[..., :4].float()
    low = torch.maximum(corners[:, :, None, :2], corners[:, None, :, :2])
    high = torch.minimum(corners[:, :, None, 2:], corners[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = (corners[..., 2:] - corners[..., :2]).clamp(min=0).prod(-1)
    either = areas[:, :, None] + areas[:, None, :] - shared
    return torch.where(either > 0, shared / either, 0)


def without(features: Tensor, hidden: Tensor, present: Tensor) -> Tensor:
    """Features (I, 1 + R, F), the global region first, with zeros where regions are hidden.

    The global region of an image with hidden ones becomes the mean of those that can still be seen (zero if there is
    none): the mean of all would give away what is hidden.

    Args:
        hidden, present: (I, R) bool.
    """
    seen = (present & ~hidden).to(torch.float32)
    left = features[:, 1:].masked_fill(hidden[..., None], 0)
    mean = torch.einsum("irf,ir->if", left.float(), seen) / seen.sum(1).clamp(min=1)[:, None]
    whole = torch.where(hidden.any(1)[:, None], mean.to(features.dtype), features[:, 0])
    return torch.cat([whole[:, None], left], dim=1)
