"""The optimizer and the learning rates of the original program.

AdamW as in pytorch-transformers 1.0 (Loshchilov & Hutter 2019): no bias correction, and the decay is applied to the
updated parameter. All of it runs in torch's fused kernel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast, overload

import torch
from torch import Tensor, nn

from twelve.errors import CheckpointError
from twelve.training.prefixes import check_prefixes, under

SETTLED = 1 << 24
"""A step count at which 1 - beta ** step is exactly 1 for any beta below 0.99999, so nothing is corrected. Float32, in
which torch counts steps, represents it exactly, and adding 1 does not change it."""

FUSED_DEVICES = frozenset({"cpu", "cuda", "mps", "xpu"})


class AdamW(torch.optim.AdamW):
    """Adam that decays the updated parameters: ``m``, ``v`` as in Adam; p -= lr m / (sqrt(v) + eps); p -= lr decay p.

    Torch's fused kernel decays first and corrects the bias. Two identities make it compute the above in one pass:
    a step count that starts at :data:`SETTLED` makes both corrections 1, and
    (p - lr u)(1 - lr d) = p (1 - lr' d') - lr' u for lr' = lr (1 - lr d), lr' d' = lr d.

    Args:
        params: parameter groups, see :func:`parameter_groups`.
        bias_correction: correct the bias of both moments, as Adam does (for pretraining).
        tasks: keep a state, ``m`` and ``v``, for each of these; each step is then of the task that :meth:`use` names.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        bias_correction: bool = False,
        tasks: Iterable[str] = (),
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=False)
        self.bias_correction = bias_correction
        everything = [parameter for group in self.param_groups for parameter in group["params"]]
        fused = all(parameter.device.type in FUSED_DEVICES for parameter in everything)
        for group in self.param_groups:
            group["fused"], group["foreach"] = fused, not fused
        self._states = {task: defaultdict[Tensor, Any](dict) for task in tasks}

    def use(self, task: str) -> None:
        """Let the next steps read and change the state of ``task``, if every task has its own."""
        if self._states:
            self.state = self._states[task]

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                self._start(parameter)
        given = [(group["lr"], group["weight_decay"]) for group in self.param_groups]
        idle = self._idle()
        try:
            for parameter, zeros in idle:
                parameter.grad = zeros
            for group, (rate, decay) in zip(self.param_groups, given, strict=True):
                kept = 1 - rate * decay
                group["lr"], group["weight_decay"] = rate * kept, decay / kept
            super().step()
        finally:
            for group, (rate, decay) in zip(self.param_groups, given, strict=True):
                group["lr"], group["weight_decay"] = rate, decay
            for parameter, _ in idle:  # the next gradient must not be added to zeros that parameters share
                parameter.grad = None
        return loss

    def _idle(self) -> list[tuple[Tensor, Tensor]]:
        """Parameters that move without a gradient of their own (see :meth:`zero_grad`), and zeros of their shape."""
        idle = [
            parameter
            for group in self.param_groups
            if group.get("fill")
            for parameter in group["params"]
            if parameter.grad is None and self.state.get(parameter)
        ]
        found, zeros = list[tuple[Tensor, Tensor]](), dict[tuple[torch.device, torch.dtype], Tensor]()
        for parameter in sorted(idle, key=lambda parameter: -parameter.numel()):
            if type(parameter) is not nn.Parameter:  # sharded
                found.append((parameter, torch.zeros_like(parameter)))
                continue
            # They are only read, so one array is enough for all.
            kind = parameter.device, parameter.dtype
            if kind not in zeros:
                zeros[kind] = torch.zeros(parameter.numel(), device=parameter.device, dtype=parameter.dtype)
            found.append((parameter, zeros[kind][: parameter.numel()].view(parameter.shape)))
        return found

    def leave_out(self, wrong: Tensor) -> None:
        """Change nothing in all steps from now on if ``wrong``, a bool scalar on the device, is True.

        Nobody waits for it: torch's fused kernel reads it, as it reads whether gradients of fp16 overflow. There, a
        loss that is not finite has such gradients, and torch leaves these steps out anyway.
        """
        before = getattr(self, "found_inf", None)
        found = wrong.to(torch.float32)
        self.found_inf = found if before is None else torch.maximum(before, found)

    def _start(self, parameter: Tensor) -> None:
        """Initialise the state of a parameter that has its first gradient."""
        state = self.state[parameter] if parameter.grad is not None else None
        if state is None or state:
            return
        count = 0.0 if self.bias_correction else float(SETTLED)
        state["step"] = torch.tensor(count, dtype=torch.float32, device=parameter.device)
        state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)

    @property
    def moments(self) -> Iterator[Tensor]:
        """``m`` and ``v`` of every parameter, of every task that has its own."""
        for states in self._states.values() or [self.state]:
            for state in states.values():
                yield from (value for name, value in state.items() if name != "step")

    def zero_grad(self, set_to_none: bool = False, *, fill: bool | None = None) -> None:
        """Drop the gradients, and choose what a step does with parameters that have none.

        With ``fill``, it takes their gradients for zeros: a part of the model that the next batch does not use still
        moves on its momentum and decays, as in the original, whose framework filled gradients with zeros. Without, such
        a part does not change. A parameter that never had a gradient does not change in either case. The choice is
        part of the state, so a resumed run makes the same one. Where every task has its own state, this is about parts
        that the task itself has used before: what only others use stays as it is, until they step.

        In both cases the gradients become None, so that the backward pass need not add to zeros.
        """
        super().zero_grad(set_to_none=True)
        for group in self.param_groups:
            group["fill"] = not set_to_none if fill is None else fill

    def state_dict(self) -> dict[str, Any]:
        """The state; with a state for each task, they stand under ``tasks``, and ``state`` is empty."""
        if not self._states:
            return super().state_dict()
        found = {}
        for task in self._states:
            self.use(task)
            found[task] = super().state_dict()
        groups = next(iter(found.values()))["param_groups"]
        return {"state": {}, "param_groups": groups, "tasks": {task: own["state"] for task, own in found.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state; raises CheckpointError for a state of other parameters or tasks."""
        ours, theirs = self.state_dict()["param_groups"], state_dict["param_groups"]
        names = [name for group in ours for name in group.get("param_names", group["params"])]
        others = [name for group in theirs for name in group.get("param_names", group["params"])]
        if names != others:
            odd = sorted({str(name) for name in names} ^ {str(name) for name in others})[:3]
            raise CheckpointError(
                f"the optimizer's state is of {len(others)} parameters, the model has {len(names)}"
                + (f" (among those that differ: {', '.join(odd)})" if odd else " in another order"),
                remedy="resume with the configuration the run was started with",
            )
        tasks = state_dict.get("tasks", {})
        if list(tasks) != list(self._states):
            raise CheckpointError(
                f"the optimizer's state is of the tasks {', '.join(tasks) or 'together'}, "
                f"expected {', '.join(self._states) or 'together'}",
                remedy="resume with the configuration the run was started with",
            )
        if not tasks:
            super().load_state_dict(state_dict)
        for task, own in tasks.items():
            super().load_state_dict({"state": own, "param_groups": theirs})
            self._states[task] = self.state


def parameter_groups(
    model: nn.Module,
    *,
    base_lr: float,
    head_lr: float,
    weight_decay: float = 0.01,
    factors: Mapping[str, float] | None = None,
    by_name: Callable[[str], float] | None = None,
    released_name: Callable[[str], str] | None = None,
) -> list[dict[str, Any]]:
    """Groups of the model's trainable parameters with equal learning rate and decay.

    The rules are those of the original, for the names in its released files: a parameter with "bias" or
    "LayerNorm.weight" in its name does not decay (so the LayerNorms of heads and of co-attention outputs do); one with
    "vil_" in its name learns with ``head_lr``.

    Args:
        factors: prefix of the model's own parameter names -> learning-rate factor (``text`` covers ``text.layers.0``);
            the longest matching prefix counts.
        by_name: parameter name -> a further factor.
        released_name: parameter name -> its name in the released files; for other models.

    Raises:
        ConfigError: no parameter has the prefix of a factor.
    """
    if released_name is None:
        from twelve.model import checkpoints  # imports transformers, which takes seconds

        config, counterpart = cast(Any, model).config, cast(Any, model).trunk.counterpart
        kinds = checkpoints.kinds_of(config)

        def released_name(name: str) -> str:
            return checkpoints.released_name(counterpart(name), kinds)

    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    factors = dict(factors or {})
    check_prefixes(factors, [name for name, _ in model.named_parameters()], "optimizer.factors")
    groups: dict[tuple[float, float], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in named:
        released = released_name(name)
        rate = head_lr if "vil_" in released else base_lr
        fitting = [prefix for prefix in factors if under(name, prefix)]
        if fitting:
            rate *= factors[max(fitting, key=len)]
        if by_name is not None:
            rate *= by_name(name)
        decay = 0.0 if "bias" in released or "LayerNorm.weight" in released else weight_decay
        groups.setdefault((rate, decay), []).append((name, parameter))
    return [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in groups.items()]


def loss_scales(rates: Mapping[str, float]) -> dict[str, float]:
    """Task -> factor of its loss: its learning rate over the smallest one."""
    smallest = min(rates.values())
    return {task: rate / smallest for task, rate in rates.items()}


def linear_schedule(step: float, warmup: float, total: float) -> float:
    """Factor of the learning rate at ``step``: it rises linearly over ``warmup`` steps (which may be fractional), then
    falls linearly to 0 at ``total``."""
    if step < warmup:
        return float(step) / max(1.0, warmup)
    return max(0.0, (total - step) / max(1.0, total - warmup))


class LearningRate:
    """Sets the learning rates of the groups as the original does, one step late.

    The first optimizer step of an iteration uses f(k). Then the count advances, and the other tasks of the iteration
    use f(k + 1). f(0) = 0. An iteration without an optimizer step does not count.

    Args:
        total: steps of the schedule: iterations of the run, divided by ``accumulate``.
        warmup: steps with a rising rate; may be fractional.
        accumulate: iterations whose gradients accumulate; every task steps in the last of them.
        first: advance the count before the steps of an iteration, so that all use f(k + 1), as in pretraining.
        falls: whether the rate falls to 0 after the warm-up; otherwise, it stays.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        total: float,
        warmup: float,
        accumulate: int = 1,
        first: bool = False,
        falls: bool = True,
    ) -> None:
        self.optimizer, self.total, self.warmup, self.accumulate = optimizer, total, warmup, accumulate
        self.first, self.falls = first, falls
        self.count = 0
        self._advanced = False
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._apply()

    @classmethod
    def over(
        cls,
        optimizer: torch.optim.Optimizer,
        *,
        iterations: int,
        warmup: float = 0.1,
        accumulate: int = 1,
        first: bool = False,
        falls: bool = True,
    ) -> LearningRate:
        """The learning rate of a run of ``iterations``; ``warmup`` is a share of its steps."""
        total = iterations // accumulate
        return cls(optimizer, total=total, warmup=warmup * total, accumulate=accumulate, first=first, falls=falls)

    def start_iteration(self, iteration: int) -> None:
        """Begin ``iteration`` (counted from 0).

        Raises:
            CheckpointError: more steps have been counted than the iterations so far can have made.
        """
        if self.count > iteration // self.accumulate:
            raise CheckpointError(
                f"the learning rate stands at step {self.count}, the run at iteration {iteration}",
                remedy="resume both from one checkpoint",
            )
        self._advanced = self.first
        if self.first and self.due(iteration):
            self.advance()

    def due(self, iteration: int) -> bool:
        """Whether tasks step the optimizer in ``iteration``, rather than accumulate gradients."""
        return (iteration + 1) % self.accumulate == 0

    def after_step(self) -> None:
        """Note an optimizer step; the first one of an iteration advances the count."""
        if not self._advanced:
            self._advanced = True
            self.advance()

    def advance(self) -> None:
        """Increase the count by one."""
        self.count += 1
        self._apply()

    @property
    def factor(self) -> float:
        """f at the current count."""
        if not self.falls and self.count >= self.warmup:
            return 1.0
        return linear_schedule(self.count, self.warmup, self.total)

    @property
    def value(self) -> float:
        """The current learning rate of the first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _apply(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.factor

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state, which was taken between two iterations."""
        self.count = cast(int, state["count"])
        self._apply()
