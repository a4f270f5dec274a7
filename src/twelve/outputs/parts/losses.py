"""The losses that several outputs share, as the original program computes them.

Logits of half or bfloat16 precision are raised to float32 first; float64 stays float64.
Axes: E examples, A labels.
"""

from __future__ import annotations

from twelve.outputs.parts.later import F, Tensor, torch


def precise(logits: Tensor) -> Tensor:
    """``logits`` in at least float32: a sum over thousands of labels is lost in half precision."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def sum_over_labels(logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Binary cross-entropy summed over the labels and averaged over the examples.

    The original takes the mean over everything and multiplies by the number of labels, which is the same sum, so
    that labels which are only padding may be trimmed without changing the loss.

    Args:
        logits: (E, A).
        target: (E, A) soft labels in 0..1.
        valid: (E, A) bool, False where a label is padding; None: every label counts.
    """
    logits = precise(logits)
    losses = F.binary_cross_entropy_with_logits(logits, target.to(logits), reduction="none")
    if valid is not None:
        # where, not a product: a padded logit may be infinite, and 0 * inf is not a number.
        losses = torch.where(valid.to(losses.device), losses, losses.new_zeros(()))
    return losses.sum() / logits.shape[0]


def log_odds(frequency: Tensor) -> Tensor:
    """Bias at which a sigmoid gives each label its frequency (0..1), bounded for labels that never or always occur."""
    return frequency.clamp(1e-3, 1 - 1e-3).logit()


def mean_over_classes(logits: Tensor, classes: Tensor) -> Tensor:
    """Binary cross-entropy against one-hot rows, averaged over classes and examples.

    Args:
        logits: (E, A).
        classes: (E,) int64 index of the right class (negative: no class is right, a row of zeros), or (E, A) rows.
    """
    logits = precise(logits)
    return F.binary_cross_entropy_with_logits(logits, as_rows(classes, logits.shape[1]).to(logits))


def as_rows(classes: Tensor, count: int) -> Tensor:
    """(E, A) one-hot rows of (E,) class indices; negative indices give rows of zeros, (E, A) is returned as it is."""
    if classes.ndim == 2:
        return classes
    return (classes[:, None] == torch.arange(count, device=classes.device)).to(torch.float32)


def label_at_best(logits: Tensor, rows: Tensor) -> Tensor:
    """(E,) the (soft) label at each row's highest logit."""
    return rows.to(logits.device).gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
