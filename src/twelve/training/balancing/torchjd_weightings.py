"""Weightings of torchjd (the extra ``balance``), which is imported when a run uses one."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from twelve.errors import ConfigError
from twelve.extras import install
from twelve.training.balancing.base import BalancingSetting, GradientBalancing, register

if TYPE_CHECKING:
    from torch import Tensor


def check_installed(name: str, *modules: str) -> None:
    """Raises ConfigError when a module that the balancing called ``name`` needs is missing."""
    if missing := [module for module in modules if importlib.util.find_spec(module) is None]:
        raise ConfigError(
            f"{name} needs {', '.join(missing)}, which is not installed",
            record="balancing.name",
            remedy=f"{install('balance')}, or choose another one (docs/configuration.md)",
        )


class Weighting(GradientBalancing):
    """A weighting of torchjd, by the name of its class there, which cites its paper.

    What it draws is drawn from the run's seed and the number of updates, so that all processes draw the same.
    """

    weighting: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("torchjd",)
    averages: ClassVar[bool] = True
    """Whether its weights average gradients; they are multiplied by the number of tasks, as gradients add up here."""

    def __init__(self, **setting: Unpack[BalancingSetting]) -> None:
        super().__init__(**setting)
        self.updates = 0
        self._made: Any = None

    def check(self) -> None:
        check_installed(self.name, *self.needs)

    def weights(self, tasks: Sequence[str], gramian: Tensor) -> Tensor:
        import torch

        if self._made is None:
            import torchjd.aggregation

            self._made = getattr(torchjd.aggregation, self.weighting)()
        self.updates += 1
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(self.seed * 1_000_003 + self.updates)
            found: Tensor = self._made(gramian)
        return found * len(tasks) if self.averages else found

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.updates = state["updates"]


@register
class PCGrad(Weighting):
    """ "Gradient Surgery for Multi-Task Learning" (Yu et al. 2020)."""

    name: ClassVar[str] = "pcgrad"
    weighting, averages = "PCGradWeighting", False


@register
class ImtlG(Weighting):
    """ "Towards Impartial Multi-task Learning" (Liu et al. 2021), its part on gradients."""

    name: ClassVar[str] = "imtl-g"
    weighting = "IMTLGWeighting"


@register
class AlignedMtl(Weighting):
    """ "Independent Component Alignment for Multi-Task Learning" (Senushkin et al. 2023)."""

    name: ClassVar[str] = "aligned-mtl"
    weighting = "AlignedMTLWeighting"


@register
class Mgda(Weighting):
    """ "Multi-Task Learning as Multi-Objective Optimization" (Sener & Koltun 2018)."""

    name: ClassVar[str] = "mgda"
    weighting = "MGDAWeighting"


@register
class UpGrad(Weighting):
    """ "Jacobian Descent For Multi-Objective Optimization" (Quinton & Rey 2024)."""

    name: ClassVar[str] = "upgrad"
    weighting, needs = "UPGradWeighting", ("torchjd", "qpsolvers", "quadprog")


@register
class DualProj(Weighting):
    """ "Gradient Episodic Memory for Continual Learning" (Lopez-Paz & Ranzato 2017), the mean gradient projected."""

    name: ClassVar[str] = "dualproj"
    weighting, needs = "DualProjWeighting", ("torchjd", "qpsolvers", "quadprog")
