"""The processes of a run: one, several that each hold the whole model (DDP), or several that share it (FSDP).

Every process takes its part of every batch. Losses and scores are averaged over all examples, wherever they were
computed, so that the number of processes changes nothing but rounding (and what dropout draws).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from twelve.errors import ConfigError, TwelveError
from twelve.model.attention import Block
from twelve.settings import TrainingSettings

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class ProcessLost(TwelveError):
    """Another process of the run has ended: this one cannot go on. Exit code 1: nobody misused anything."""

    exit_code = 1


class Devices:
    """Attributes:
    rank, count: this process among all of the run.
    main: whether this one writes files and speaks.
    device: where it computes.
    sharded: whether the processes share the model's parameters.
    """

    def __init__(self, settings: TrainingSettings, folder: Path) -> None:
        if settings.precision == "fp16" and (settings.sharding or not torch.cuda.is_available()):
            raise ConfigError(
                "fp16 needs a GPU, and whole parameters in every process",
                record="training.precision",
                remedy="choose bf16 or fp32",
            )
        self.accelerator = Accelerator(
            mixed_precision={"fp32": "no"}.get(settings.precision, settings.precision),
            cpu=not torch.cuda.is_available(),
            log_with=list(settings.trackers) or None,
            project_dir=str(folder),
            # A step runs the heads that it needs, so every step leaves others without gradients.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.rank, self.count = self.accelerator.process_index, self.accelerator.num_processes
        self.main, self.device = self.accelerator.is_main_process, self.accelerator.device
        self.sharded, self.precision = settings.sharding and self.count > 1, settings.precision

    def draw_apart(self, seed: int) -> None:
        """Let every process draw dropout of its own (one alone goes on as it is)."""
        if self.count > 1:
            torch.manual_seed(seed + self.rank)

    def place(self, model: nn.Module) -> nn.Module:
        """Bring a model to its device and connect it with the other processes'; what a step must call.

        Must be called before the optimizer is made: sharding replaces the parameters.
        """
        model.to(self.device)
        if self.count == 1:
            return model
        if not self.sharded:
            return self.accelerator.prepare_model(model)  # type: ignore[no-any-return]
        for parameter in model.parameters():  # fully_shard takes each process's own values
            dist.broadcast(parameter.detach(), src=0)
        # Nothing here changes logits in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        mesh = init_device_mesh(self.device.type, (self.count,))
        policy = MixedPrecisionPolicy(param_dtype=_DTYPES.get(self.precision))
        for part in model.modules():
            if isinstance(part, Block):
                fully_shard(part, mesh=mesh, mp_policy=policy)
        for part in gates(model):
            fully_shard(part, mesh=mesh, mp_policy=policy)
        fully_shard(model, mesh=mesh, mp_policy=policy)
        assert isinstance(model, FSDPModule), "fully_shard left the model as it was"
        return model

    def backward(self, loss: Tensor, examples: int, everywhere: int) -> None:
        """Gradients of a loss that is a mean over this process's ``examples`` of ``everywhere`` in the batch.

        Gradients of the processes are averaged; the weight makes that the mean over all examples.
        """
        self.accelerator.backward(loss * (examples * self.count / everywhere))

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Update the parameters (fp16: unless a gradient is too large for it, which lowers the scale of the losses)."""
        scaler = self.accelerator.scaler
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return float(tensor)

    def largest(self, value: float) -> float:
        """The largest of a number in all processes."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return float(tensor)

    @property
    def neighbours(self) -> int:
        """Processes of the run on this machine."""
        return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1") or 1)) if self.count > 1 else 1

    @property
    def part(self) -> slice:
        """Which of many things are this process's."""
        return slice(self.rank, None, self.count)

    def random_states(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Every process's generator states, by rank; all processes must call it."""
        if self.count == 1:
            return {"0": dict(state)}
        cpu = state["cpu"].to(self.device)
        gathered = [torch.empty_like(cpu) for _ in range(self.count)]
        dist.all_gather(gathered, cpu)
        found: dict[str, Any] = {str(rank): {"cpu": own.cpu()} for rank, own in enumerate(gathered)}
        if "cuda" in state:
            own = torch.cuda.get_rng_state(self.device).to(self.device)
            cuda = [torch.empty_like(own) for _ in range(self.count)]
            dist.all_gather(cuda, own)
            for rank, value in enumerate(cuda):
                found[str(rank)]["cuda"] = [value.cpu()]
        return found

    @contextmanager
    def together(self) -> Iterator[None]:
        """Tell a lost process from a mistake of the code.

        Raises:
            ProcessLost: the connection to another process broke.
        """
        try:
            yield
        except RuntimeError as error:
            text = str(error)
            if self.count == 1 or not any(
                sign in text for sign in ("Connection", "closed", "reset", "timed out", "NCCL")
            ):
                raise
            raise ProcessLost(
                f"another process of this run has ended ({text.splitlines()[0][:120]})",
                record=f"process {self.rank} of {self.count}",
                remedy="see what the others printed, mend it, and run the same command with --continue",
            ) from error

    def end(self) -> None:
        """Let the trackers finish, and the other processes go."""
        self.accelerator.end_training()
        if dist.is_initialized():
            dist.destroy_process_group()


def gates(model: nn.Module) -> list[nn.Module]:
    """Projections of ``dynamic_attention``, which are called from outside their layers."""
    return [part for name, part in model.named_modules() if name.endswith((".query_gate", ".key_gate"))]


def whole(tree: Any) -> Any:
    """A tree of state with every sharded tensor put together; all processes must call it, in the same order."""
    if isinstance(tree, DTensor):
        return tree.full_tensor()
    if isinstance(tree, Mapping):
        return {key: whole(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [whole(value) for value in tree]
    return tree


def parted(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's whole state, parted as its parameters are."""
    ours = dict(model.state_dict())
    return {name: _like(value, ours.get(name)) for name, value in state.items()}


def parted_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's whole state, parted as the parameters are that it is about."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    parts = {
        index: {
            name: _like(value, parameters[index]) if isinstance(value, Tensor) and value.dim() else value
            for name, value in own.items()
        }
        for index, own in state["state"].items()
    }
    return {**state, "state": parts}


def _like(value: Tensor, model: Tensor | None) -> Tensor:
    if not isinstance(model, DTensor):
        return value
    return distribute_tensor(value.to(model.device), model.device_mesh, model.placements)
