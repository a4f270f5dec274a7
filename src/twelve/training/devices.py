"""The processes of a run: one, several that each hold the whole model (DDP), or several that share it (FSDP).

Every process takes its part of every batch. Losses and scores are averaged over the examples of all processes, so the
number of processes changes nothing but rounding and dropout.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from twelve.errors import ConfigError
from twelve.model.attention import Block
from twelve.processes import connected
from twelve.settings import TrainingSettings

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Devices:
    """This process among those of the run.

    Attributes:
        rank, count: its number among all processes, and how many there are.
        main: whether this process writes files and prints.
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
        )
        self.rank, self.count = self.accelerator.process_index, self.accelerator.num_processes
        self.main, self.device = self.accelerator.is_main_process, self.accelerator.device
        self.sharded, self.precision = settings.sharding and self.count > 1, settings.precision
        self._mesh: DeviceMesh | None = None
        torch.set_float32_matmul_precision("high" if settings.tf32 else "highest")

    @property
    def late(self) -> bool:
        """Whether results are there later than the call that computes them returns, so that reading one waits. The
        optimizer must then be able to leave out a step by itself, which it is for whole parameters only."""
        return self.device.type == "cuda" and not self.sharded

    def wait(self) -> None:
        """Until everything is computed."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def draw_apart(self, seed: int) -> None:
        """Seed each process differently, so that their dropout differs; a single process keeps its seed."""
        if self.count > 1:
            torch.manual_seed(seed + self.rank)

    def place(self, model: nn.Module, *, unused: bool = True) -> nn.Module:
        """Move a model to the device and connect it with the other processes; a step must call what this returns.

        Call it before making the optimizer: sharding replaces the parameters.

        Args:
            unused: whether steps leave parameters without gradients. Looking for them takes time in every step; not
                finding them would make processes wait for each other forever.
        """
        model.to(self.device)
        if self.count == 1:
            return model
        if not self.sharded:
            self.accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=unused)
            return self.accelerator.prepare_model(model)  # type: ignore[no-any-return]
        for parameter in model.parameters():  # fully_shard keeps the values of each process
            dist.broadcast(parameter.detach(), src=0)
        # The warning is about changing logits in place, which nothing here does.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        mesh = self._mesh = init_device_mesh(self.device.type, (self.count,))
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
        """Compute the gradients of a loss that is the mean over this process's ``examples`` of ``everywhere``.

        Gradients are averaged over processes; the loss is weighted so that this is the mean over all examples.
        """
        self.accelerator.backward(loss * (examples * self.count / everywhere))

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Update the parameters. With fp16, gradients that overflow skip the update and lower the loss scale."""
        scaler = self.accelerator.scaler
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

    @property
    def exact(self) -> torch.dtype:
        """The most exact numbers of the device."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def summed(self, value: Tensor, times: float = 1.0) -> Tensor:
        """The sum of a scalar times a number over all processes, on the device; nothing waits for it on a GPU."""
        found = value.to(self.exact) * times
        if self.count > 1:
            dist.all_reduce(found)
        return found

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""
        return value if self.count == 1 else float(self.summed(torch.tensor(value, device=self.device)))

    def apart(self, model: nn.Module) -> AbstractContextManager[None]:
        """Where gradients of several batches add up: a block in which they stay in each process (DDP alone)."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def average(self, gradients: Iterable[Tensor]) -> None:
        """Replace gradients that stayed in each process by their mean over the processes, as an update will do."""
        for gradient in gradients if self.count > 1 and not self.sharded else ():
            dist.all_reduce(gradient)
            gradient /= self.count

    def largest(self, value: float) -> float:
        """The largest value of a number in any process."""
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
        """This process's part of a sequence."""
        return slice(self.rank, None, self.count)

    @property
    def loss_scale(self) -> float:
        """What losses are multiplied by before the backward pass, so that fp16 gradients do not vanish; else 1."""
        scaler = self.accelerator.scaler
        return 1.0 if scaler is None else float(scaler.get_scale())

    def unscaled(self, norm: Tensor) -> Tensor:
        """A norm of gradients, divided by :attr:`loss_scale`, for which nothing waits."""
        scaler = self.accelerator.scaler
        return norm if scaler is None else norm / scaler.scale(torch.ones((), device=self.device))

    def together(self) -> AbstractContextManager[None]:
        """Turn a broken connection between processes into one line (:func:`twelve.processes.connected`)."""
        return connected(self.rank, self.count)

    def end(self) -> None:
        """Finish the trackers and leave the process group, whose threads end here.

        Call it when nothing refers any more to what :meth:`place` returned.
        """
        self.accelerator.end_training()
        if self.count == 1:
            return
        if dist.is_initialized():
            dist.destroy_process_group()
        # Gloo's threads end with the last reference to their group. One that outlives the interpreter, because on a
        # busy machine it has not yet let go of the last tensor that was summed, ends the process with an abort.
        self.accelerator.free_memory()
        if self._mesh is not None:  # torch's caches keep it; not every version's has a registry
            getattr(self._mesh, "_pg_registry", {}).clear()
        gc.collect()


class Generators:
    """The random generators of torch in all processes (dropout); everything else is drawn from seeds."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    def state_dict(self) -> dict[str, Any]:
        """Rank -> states of its generators; all processes must call it."""
        devices, cuda = self._devices, torch.cuda.is_available()
        if devices.count == 1:
            return {"0": {"cpu": torch.get_rng_state()} | ({"cuda": torch.cuda.get_rng_state_all()} if cuda else {})}
        states: list[dict[str, Any]] = [{"cpu": own} for own in self._gathered(torch.get_rng_state())]
        if cuda:
            gathered = self._gathered(torch.cuda.get_rng_state(devices.device))
            states = [{**state, "cuda": [own]} for state, own in zip(states, gathered, strict=True)]
        return {str(rank): state for rank, state in enumerate(states)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state; processes beyond those that wrote it keep the seed that they began with."""
        if (own := state.get(str(self._devices.rank))) is None:
            return
        torch.set_rng_state(own["cpu"])
        if "cuda" in own and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(list(own["cuda"]))

    def _gathered(self, own: Tensor) -> list[Tensor]:
        own = own.to(self._devices.device)
        found = [torch.empty_like(own) for _ in range(self._devices.count)]
        dist.all_gather(found, own)
        return [each.cpu() for each in found]


def gates(model: nn.Module) -> list[nn.Module]:
    """Projections of ``dynamic_attention``, which are called from outside their layers."""
    return [part for name, part in model.named_modules() if name.endswith((".query_gate", ".key_gate"))]


def whole(tree: Any) -> Any:
    """A tree of state with every sharded tensor gathered; all processes must call it, in the same order."""
    if isinstance(tree, DTensor):
        return tree.full_tensor()
    if isinstance(tree, Mapping):
        return {key: whole(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [whole(value) for value in tree]
    return tree


def parted(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's gathered state, sharded as its parameters are."""
    ours = dict(model.state_dict())
    return {name: _like(value, ours.get(name)) for name, value in state.items()}


def parted_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's gathered state, sharded as its parameters are."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def parts(states: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
        return {
            index: {
                name: _like(value, parameters[index]) if isinstance(value, Tensor) and value.dim() else value
                for name, value in own.items()
            }
            for index, own in states.items()
        }

    if "tasks" in state:
        return {**state, "tasks": {task: parts(own) for task, own in state["tasks"].items()}}
    return {**state, "state": parts(state["state"])}


def _like(value: Tensor, model: Tensor | None) -> Tensor:
    if not isinstance(model, DTensor):
        return value
    return distribute_tensor(value.to(model.device), model.device_mesh, model.placements)
