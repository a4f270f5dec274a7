"""Which parameters a step leaves without a gradient."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from twelve.model.vilbert import Twelve
from twelve.types.batch import Batch


def unused(model: Twelve, batch: Batch) -> set[str]:
    """Names of trainable parameters that get no gradient from a batch. The graph is built on torch's "meta" device,
    which computes shapes alone.

    Raises:
        NotImplementedError: the head reads positions whose number depends on values, of which there are none.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        shapes = Twelve(model.config).train()
    for name, parameter in shapes.named_parameters():
        parameter.requires_grad_(model.get_parameter(name).requires_grad)
    try:
        logits = shapes(**batch.inputs("meta"), outputs=(batch.output,)).logits[batch.output]
    except RuntimeError as error:
        raise NotImplementedError(str(error)) from None
    if not isinstance(logits, Tensor):
        raise NotImplementedError(f"{batch.output} has several results")
    reached, waiting = set[object](), [logits.grad_fn]
    while waiting:
        step = waiting.pop()
        if step is not None and step not in reached:
            reached.add(step)
            waiting += [before for before, _ in step.next_functions]
    used = {id(getattr(step, "variable", None)) for step in reached}
    return {name for name, each in shapes.named_parameters() if each.requires_grad and id(each) not in used}


def leaves_out(model: Twelve, batches: Iterable[Batch]) -> bool:
    """Whether a step on one of these batches leaves parameters that train without gradients; True if it is not
    known."""
    try:
        return any(unused(model, batch) for batch in batches)
    except NotImplementedError:
        return True
