"""The memory that a run needs, before its first step, and what to do if there is less.

Parameters, gradients and optimizer states are counted. For activations, the largest batch goes through the model on
torch's "meta" device, which computes shapes alone, and the tensors that autograd would keep are added up. These are
exactly the tensors that a real step keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil  # type: ignore[import-untyped, unused-ignore]
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from twelve.model.attention import Block
from twelve.model.vilbert import Twelve
from twelve.progress import counted
from twelve.training.freezing import HEADS
from twelve.training.prefixes import under, under_any
from twelve.types.batch import Batch

if TYPE_CHECKING:
    from twelve.training.trainer import Trainer

FLOAT = 4
"""Bytes of a parameter, its gradient, or one of its two optimizer states."""
WORKING = 1.15
"""Memory of a step over that of the kept activations; the rest is what the backward pass is working on."""
HALF = 0.55
"""Size of activations in half precision over that in full; a few operations stay in full precision."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that one process of a run needs.

    Attributes:
        activations, recomputed: of the largest batch, as configured and with training.gradient_checkpointing.
        task, examples: of the largest batch.
        free: available bytes, when the parameters are in memory and nothing else is.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    recomputed: int
    task: str
    examples: int
    free: int

    @property
    def lasting(self) -> int:
        """Bytes of gradients and optimizer states. Gradients come while activations go, unless they accumulate, so a
        step needs at most this much and all activations."""
        return self.gradients + self.optimizer

    @property
    def fits(self) -> bool:
        return self.lasting + WORKING * self.activations <= self.free

    def __str__(self) -> str:
        total = self.parameters + self.lasting + WORKING * self.activations
        return (
            f"memory for the model and a step: about {_size(total)} (parameters {_size(self.parameters)}, "
            f"gradients {_size(self.gradients)}, optimizer {_size(self.optimizer)}, "
            f"activations {_size(WORKING * self.activations)} for {counted(self.examples, 'example')} of {self.task}); "
            f"{_size(self.free)} are free"
        )


def need_of(trainer: Trainer) -> Need:
    """The memory that a run needs; does not change the run."""
    model, settings = trainer.model, trainer.config.training
    share = trainer.devices.count if trainer.devices.sharded else 1
    everything = sum(parameter.numel() for parameter in model.parameters()) * FLOAT // share
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad) * FLOAT // share
    task = _largest(trainer)
    kept, recomputed = activations(model, trainer.streams[task].longest())
    optimizer = trainer.config.optimizer
    adds = optimizer.accumulate > 1 or optimizer.update == "iteration"
    half = HALF if settings.precision != "fp32" else 1.0
    chosen = recomputed if settings.gradient_checkpointing else kept
    return Need(
        parameters=everything,
        gradients=trained * optimizer.together
        + FLOAT * trainer.weighing.waiting(len(trainer.data.tasks), adds) // share,
        optimizer=2 * FLOAT * _moments(trainer) // share,
        activations=int(half * chosen) * (1 + trainer.helpers),
        recomputed=int(half * recomputed) * (1 + trainer.helpers),
        task=task,
        examples=trainer.streams[task].batch_size,
        free=free_bytes(trainer.device) // (1 if trainer.device.type == "cuda" else trainer.devices.neighbours),
    )


def advice(need: Need, trainer: Trainer) -> list[str]:
    """Settings that would make a run fit into memory; empty for a run that fits."""
    if need.fits:
        return []
    settings, lines = trainer.config.training, []
    left = need.free - need.lasting
    size = need.examples
    if left > 0 and (parts := math.ceil(WORKING * need.activations / left)) <= size:
        lines.append(
            f"--set tasks.{need.task}.batch_size={size // parts} (and as much less for other large batches) with "
            f"--set optimizer.accumulate={trainer.config.optimizer.accumulate * parts}: gradients add up to the same"
        )
    if not settings.gradient_checkpointing:
        lines.append(
            "--set training.gradient_checkpointing=true: "
            f"activations {_size(WORKING * need.recomputed)}, a third slower"
        )
    if settings.precision == "fp32" and trainer.device.type == "cuda":
        lines.append("--set training.precision=bf16: about half of the activations")
    if not trainer.devices.sharded:
        count = max(2, torch.cuda.device_count())
        lines.append(
            f"several devices with --set training.sharding=true: parameters, gradients and optimizer states divided "
            f"by their number (torchrun --nproc-per-node {count} -m twelve train ...)"
        )
    if left <= 0:
        lines.append("--set freeze.text_layers=N: no gradients and optimizer states for the lowest layers")
    return ["this will probably not fit into memory; remedies:", *(f"  {line}" for line in lines)]


def activations(model: Twelve, batch: Batch) -> tuple[int, int]:
    """Bytes that a step keeps for its backward pass, without and with gradient checkpointing."""
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"):
            shapes = Twelve(model.config).train()
        for name, parameter in shapes.named_parameters():
            parameter.requires_grad_(model.get_parameter(name).requires_grad)
        inputs = batch.inputs("meta")
        try:
            return _kept(shapes, lambda: shapes(**inputs, outputs=batch.outputs))
        except (RuntimeError, NotImplementedError):
            # The number of positions that a head reads depends on values, and there are only shapes.
            asked = {name: value for name, value in inputs.items() if not name.startswith("hidden_")}
            return _kept(shapes, lambda: shapes(**asked, outputs=("words", "regions")))


def _kept(model: Twelve, forward: Callable[[], Any]) -> tuple[int, int]:
    storages: dict[int, tuple[int, Tensor]] = {}  # tensors are held, so that no other gets their storage's address
    fixed = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    blocks: list[tuple[int, int]] = []
    total = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage._cdata not in fixed and storage._cdata not in storages:
            storages[storage._cdata] = (storage.nbytes(), tensor)
            total += storage.nbytes()
        return tensor

    begun: list[int] = []

    def enter(*_: Any) -> None:
        begun.append(total)

    def leave(block: Any, given: Any, result: Any) -> None:
        blocks.append((total - begun.pop(), result[0].nbytes))

    for part in model.modules():
        if isinstance(part, Block):
            part.register_forward_pre_hook(enter)
            part.register_forward_hook(leave)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    inside, results = sum(kept for kept, _ in blocks), sum(result for _, result in blocks)
    largest = max((kept for kept, _ in blocks), default=0)
    return total, min(total, total - inside + results + largest)


def free_bytes(device: torch.device) -> int:
    """Bytes that a process can still allocate: on the GPU, or on the machine within the limit of its container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, max(0, int(Path(limit).read_text()) - int(Path(used).read_text())))
        except (OSError, ValueError):  # not in a container, or one without a limit ("max")
            continue
    return free


def _moments(trainer: Trainer) -> int:
    """Numbers of each of the two moments: those that train, or what each task uses of them if it has its own."""
    trained = {name: each.numel() for name, each in trainer.model.named_parameters() if each.requires_grad}
    if trainer.config.optimizer.states == "shared":
        return sum(trained.values())
    outputs = [task.task.output for task in trainer.data.tasks.values()]
    heads = {name: size for name, size in trained.items() if under_any(name, HEADS)}
    own = sum(size for output in outputs for name, size in heads.items() if under(name, f"heads.{output}"))
    return len(outputs) * (sum(trained.values()) - sum(heads.values())) + own


def _largest(trainer: Trainer) -> str:
    """The task whose batch has the most positions: pairs, times the longest text and the regions."""
    sizes = {}
    for name, stream in trainer.streams.items():
        output, collator = trainer.data.tasks[name].output, stream.collator
        examples = [stream.examples[row] for row in range(stream.batch_size)]
        pairs = output.pairs(examples, np.random.default_rng(0), collator.pool)
        longest = int(stream.lengths.max(initial=1))
        sizes[name] = sum(map(len, pairs)) * (longest + trainer.processor.max_regions)
    return max(sizes, key=sizes.__getitem__)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 5e7 else f"{count / 1e6:.0f} MB"
