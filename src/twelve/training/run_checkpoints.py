"""The checkpoints of a run: what an exact resume needs, written and taken over.

How one lies on the disk, training/checkpoint.py says; what may differ when a run resumes, training/sameness.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twelve.errors import CheckpointError
from twelve.model.vilbert import Twelve
from twelve.run_folder import RunFolder
from twelve.settings import RunConfig
from twelve.training import checkpoint
from twelve.training.devices import Devices, Generators, parted, parted_optimizer, whole
from twelve.training.log import RunLog
from twelve.training.optimizer import AdamW
from twelve.training.sameness import compare
from twelve.training.state import TrainerState


class RunCheckpoints:
    """Writes and reads the checkpoints of a run.

    Args:
        others: name -> what has a state, beside the model, its optimizer, the trainer's state and random generators.

    Attributes:
        changed_data: how the data differ from those of the resumed checkpoint, where that was allowed.
    """

    def __init__(
        self,
        config: RunConfig,
        run: RunFolder,
        devices: Devices,
        log: RunLog,
        model: Twelve,
        optimizer: AdamW,
        state: TrainerState,
        others: Mapping[str, checkpoint.Stateful],
    ) -> None:
        self.config, self.run, self.devices, self.log = config, run, devices, log
        self.model, self.optimizer, self.state = model, optimizer, state
        self.parts: dict[str, checkpoint.Stateful] = {
            "model": model,
            "optimizer": optimizer,
            "trainer": state,
            "random": Generators(devices),
            **others,
        }
        self.changed_data: list[str] = []

    @property
    def _accumulating(self) -> bool:
        """Whether gradients of earlier iterations wait for an update."""
        return self.state.iteration % self.config.optimizer.accumulate != 0

    def save(self, record: Mapping[str, Any]) -> None:
        """Write a checkpoint, and remove all but the newest few.

        Args:
            record: everything that determines the model (sameness.py).
        """
        if self._accumulating:
            self.devices.average(each.grad for each in self.model.parameters() if each.grad is not None)
        # All processes gather what is sharded, in the same order.
        state: dict[str, Any] = {name: whole(part.state_dict()) for name, part in self.parts.items()}
        state["record"], state["logged"] = dict(record), self.log.lines
        if self._accumulating:
            gradients = {name: parameter.grad for name, parameter in self.model.named_parameters()}
            state["gradients"] = whole({name: found for name, found in gradients.items() if found is not None})
        if self.devices.main:
            checkpoint.save(self.run.checkpoint(self.state.iteration), state)
            checkpoint.prune(self.run, self.config.training.keep)

    def resume(self, record: Mapping[str, Any], *, allow_changed_data: bool = False) -> list[str]:
        """Take over the newest intact checkpoint of the run, if there is one, and cut the log to it.

        Returns:
            Notes for the person who watches: damaged checkpoints that were skipped, and what has changed since.

        Raises:
            CheckpointError: every checkpoint is damaged, or the intact one is of another model or other tasks.
            ConfigError, DataError: see :func:`twelve.training.sameness.compare`.
        """
        notes, lines = list[str](), 0
        if found := checkpoint.newest(self.run):
            folder, state, notes = found
            notes += self._changes(state, record, folder, allow_changed_data)
            self._restore(state, folder)
            lines = logged if isinstance(logged := state.get("logged"), int) else 0
        self.log.keep_until(self.state.iteration)
        if self.devices.main and self.log.lines < lines:
            notes.append(
                f"history lost: {self.log.path.name} has {self.log.lines} of the {lines} lines up to iteration "
                f"{self.state.iteration}"
            )
        for note in notes:
            self.log.write("event", self.state.iteration, event=note)
        return notes

    def _changes(
        self, state: Mapping[str, Any], record: Mapping[str, Any], folder: Path, allow_changed_data: bool
    ) -> list[str]:
        """What differs from the run that wrote a checkpoint, in words."""
        then, trainer = state.get("record"), state.get("trainer")
        done = trainer.get("iteration") if isinstance(trainer, Mapping) else None
        if not record or not isinstance(done, int):
            return []  # _restore refuses what is not a checkpoint of a run
        if not then or not isinstance(then, Mapping):
            problem = "written by an earlier version, which kept no record of its data"
            remedy = "train anew: --set run=ANOTHER, without --resume or --continue"
            raise CheckpointError(problem, file=folder, remedy=remedy)
        changed = compare(then, record, done=done, file=folder, allow_changed_data=allow_changed_data)
        self.changed_data = [str(change) for change in changed if change.waived]
        return [f"changed: {change}" for change in changed]

    def _restore(self, state: Mapping[str, Any], folder: Path) -> None:
        """Take over a checkpoint; raises CheckpointError when it is not one of this run."""
        try:
            state = {
                "losses": {},  # checkpoints of earlier versions lack them
                **state,
                "model": parted(self.model, state["model"]),
                "optimizer": parted_optimizer(self.optimizer, state["optimizer"]),
            }
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            for name, gradient in parted(self.model, state.get("gradients", {})).items():
                parameter = self.model.get_parameter(name)
                parameter.grad = gradient.to(parameter.device)
        except CheckpointError as error:
            raise error.located(folder) from None
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"does not fit this run ({type(error).__name__}: {reason})",
                file=folder,
                remedy=f"resume with the configuration it was begun with ({self.run.config.name} in the run's folder)",
            ) from error
