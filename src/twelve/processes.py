"""Several processes that work together, as torchrun starts them (docs/many-machines.md).

How they train, training/devices.py says. When they evaluate, each predicts a part of the examples, ends up with the
predictions of all, and computes the same scores from them; the first one writes them.
"""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from twelve.errors import TwelveError
from twelve.stopping import Stopped

T = TypeVar("T")


class ProcessLost(TwelveError):
    """Another process of the run has ended, so this one cannot continue. Exit code 1: it is no mistake of the user."""

    exit_code = 1


class Processes:
    """This process among those that evaluate together; it is alone where nobody called :func:`joined`.

    Attributes:
        rank, count: its number among all processes, and how many there are.
    """

    def __init__(self) -> None:
        self.rank, self.count = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)

    @property
    def main(self) -> bool:
        return self.rank == 0

    @property
    def part(self) -> slice:
        """This process's part of a sequence."""
        return slice(self.rank, None, self.count)

    def all(self, own: T) -> list[T]:
        """What each process has, in their order."""
        found: list[Any] = [None] * self.count
        if self.count == 1:
            return [own]
        dist.all_gather_object(found, own)
        return found

    def sum(self, array: NDArray[np.float32]) -> None:
        """Replace an array by the sum over all processes, each of which has zeros where others computed."""
        if self.count > 1:
            dist.all_reduce(torch.from_numpy(array))


@contextmanager
def joined() -> Iterator[Processes]:
    """Connect the processes that torchrun started; a process of its own stays alone."""
    if int(os.environ.get("WORLD_SIZE") or 1) == 1 or dist.is_initialized():
        yield Processes()
        return
    dist.init_process_group("gloo")  # of predictions and scores, which are on the CPU
    try:
        yield Processes()
    finally:
        dist.destroy_process_group()
        gc.collect()  # gloo's threads end with the last reference to their group


def own_device() -> torch.device:
    """Where this process computes: a GPU of its own, if there is one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK") or 0) % torch.cuda.device_count())


@contextmanager
def connected(rank: int, count: int) -> Iterator[None]:
    """Turn a broken connection between processes into one line.

    Raises:
        ProcessLost: the connection to another process broke.
    """
    try:
        yield
    except Stopped as stopped:
        traceback.clear_frames(stopped.__traceback__)  # as below
        raise
    except RuntimeError as error:
        text = str(error)
        if count == 1 or not any(sign in text for sign in ("Connection", "closed", "reset", "timed out", "NCCL")):
            raise
        # What the frames of the failed call hold keeps the group and its threads, which would abort the process when
        # the interpreter ends.
        traceback.clear_frames(error.__traceback__)
        raise ProcessLost(
            f"another process of this run has ended ({text.splitlines()[0][:120]})",
            record=f"process {rank} of {count}",
            remedy="see what the other processes printed, fix it, and run the same command with --continue",
        ) from error
