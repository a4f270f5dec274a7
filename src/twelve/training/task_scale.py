"""Factors of the tasks' gradients from running means of their norms (``optimizer.task_scale``).

For task t with learning rate l_t, let r_t = l_t / min l, and n_t the running mean of the L2 norm of the gradient of its
unscaled loss with respect to the trunk. The gradient of each batch, heads included, is multiplied by

    f_t = p_t / n_t * exp(mean_s log(r_s n_s / p_s))

with p_t = 1 for ``norm`` and p_t = r_t for ``lr_norm``; s runs over the tasks that have trained so far. So tasks press
on the trunk equally, or in the ratio of their learning rates, whatever their losses. The last term sets the level,
which Adam only notices through its eps: it is the (geometric) mean of the norms under ``lr``, where f_t = r_t. A model
with one task trains exactly as under ``lr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from twelve.errors import CheckpointError

DECAY = 0.95
"""Weight of the past in a running mean: it covers about the last 20 batches of a task."""


class NormScale:
    """Keeps the running means on the device, so no step waits for one. Their bias is corrected as Adam's is: after k
    batches, the mean covers these k. So n_t of a task's first batch is this batch's norm, and there is no warm-up.

    A norm that is zero or not finite changes no mean. A task that has none yet, because nothing of the trunk trains,
    has f_t = r_t.

    Args:
        rates: task -> r_t.
        by_rate: whether tasks press in the ratio of their learning rates.
        dtype: of the means.
    """

    def __init__(
        self, rates: Mapping[str, float], *, by_rate: bool, device: torch.device, dtype: torch.dtype = torch.float64
    ) -> None:
        self.rows = {task: row for row, task in enumerate(rates)}
        self.rates = torch.tensor(list(rates.values()), device=device, dtype=dtype)
        self.pressures = self.rates if by_rate else torch.ones_like(self.rates)
        self.sums, self.counts = torch.zeros_like(self.rates), torch.zeros_like(self.rates)

    def factor(self, task: str, norm: Tensor) -> Tensor:
        """f_t for a batch of ``task`` whose gradient has this ``norm``; both are scalars on the device."""
        row, usable = self.rows[task], norm.isfinite() & (norm > 0)
        self.sums[row] = torch.where(
            usable, torch.lerp(norm.to(self.sums.dtype), self.sums[row], DECAY), self.sums[row]
        )
        self.counts[row] += usable
        return self.factors()[row]

    def factors(self) -> Tensor:
        """(T,) f_t of every task with the means as they are, in the order of ``rates``."""
        seen = self.counts > 0
        means = torch.where(seen, self.sums / (1 - DECAY**self.counts), 1.0).log()
        levels = torch.where(seen, self.rates.log() + means - self.pressures.log(), 0.0)
        level = levels.sum() / seen.sum().clamp_min(1)
        return torch.where(seen, (self.pressures.log() + level - means).exp(), self.rates)

    def told(self) -> dict[str, float]:
        """Task -> f_t, rounded, for the log; waits for the device."""
        return {task: float(f"{found:.5g}") for task, found in zip(self.rows, self.factors().tolist(), strict=True)}

    def state_dict(self) -> dict[str, Any]:
        return {"tasks": list(self.rows), "sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state; raises CheckpointError for one of other tasks."""
        if state["tasks"] != list(self.rows):
            raise CheckpointError(
                f"the checkpoint scales {', '.join(state['tasks'])}, the run {', '.join(self.rows)}",
                remedy="resume with the tasks the run was started with",
            )
        self.sums, self.counts = state["sums"].to(self.sums), state["counts"].to(self.counts)
