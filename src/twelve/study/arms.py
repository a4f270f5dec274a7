"""The arms of a study, ways to train models from the same start on the same data, and the contrasts between them.

They are plain data: a plan (plan.py) holds them whole, so a study can be shown, and resumed, as it was begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from twelve.settings import Strict

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.+-]*$")]
"""Of an arm; a folder is called so."""
MODEL_OF = "model of "


def _distinct(factors: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(factors)) < len(factors):
        raise ValueError("must be distinct")
    return factors


Factors = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1), AfterValidator(_distinct)]
"""Of learning rates."""


class Length(Strict):
    """How long the models of an arm train.

    ``joint``: as many iterations as the joint run of the configuration. ``each``: each task has as many updates as in
    the arms ``of`` together. ``total``: the arm has as many updates in all as the arms ``of``, equally many for each
    task. All numbers are multiplied by ``factor``. A model of several tasks trains for the mean of its tasks' updates.
    Every batch counts as an update, even if the batches of an iteration share one (``optimizer.update``).
    """

    rule: Literal["joint", "each", "total"] = "joint"
    of: tuple[Name, ...] = ()
    factor: float = Field(1.0, gt=0)
    unit: Literal["updates", "examples"] = "updates"
    """What is equal. With ``examples``, an arm with batches of half the size makes twice as many updates."""
    extend: int = Field(0, ge=0)
    """A run that has not converged (convergence.py) goes on with half of its length again, at most so often."""

    @model_validator(mode="after")
    def _of_arms(self) -> Length:
        if (self.rule == "joint") == bool(self.of):
            raise ValueError(f"the rule {self.rule} {'needs no' if self.of else 'needs'} arms to take updates of")
        return self


class Rates(Strict):
    """Factors of all learning rates that are tried on the first seed; the best validation score decides."""

    factors: Factors = (1.0,)
    share: float = Field(1.0, gt=0, le=1)
    """Length of a run of the search, as a share of the arm's own length. Of the full length, the best run is kept."""
    tasks: tuple[str, ...] | None = None
    """Only models that train one of these tasks are searched, the others have factor 1; None: all models."""

    def searches(self, model: tuple[str, ...]) -> bool:
        return len(self.factors) > 1 and (self.tasks is None or bool(set(self.tasks) & set(model)))

    def of(self, model: tuple[str, ...]) -> tuple[float, ...]:
        """The factors that a model may have."""
        return self.factors if self.searches(model) or len(self.factors) == 1 else (1.0,)


class Arm(Strict):
    """One way to train.

    Attributes:
        models: the tasks of each model of the arm: all tasks in one model, one task each, groups, or a part of the
            tasks.
        start: ``seed``: the model that all arms of a seed begin with; ``pretrained``: the same heads on a trunk that
            learnt the captions of the retrieval tasks (pretraining.py); ``model of ARM``: the model that ARM has
            trained.
        overrides: key of the configuration, with dots -> value.
        losses: task -> name of the loss that the task trains with, instead of its own loss (losses.py).
        convergence: the arm in whose curves the schedule's option ``convergence`` is measured (a curriculum needs it).
        pretraining, pretraining_rate: iterations of the pretraining, as a share of the joint run's, and its learning
            rate; None: the rate of the retrieval tasks.
        probes: names of what is measured while the arm trains (observing.py).
        extra: whether the arm runs only if it is asked for by name.
    """

    name: Name
    meaning: str
    models: tuple[tuple[str, ...], ...] = Field(min_length=1)
    start: Annotated[str, Field(pattern=rf"^(seed|pretrained|{MODEL_OF}[A-Za-z0-9][\w.+-]*)$")] = "seed"
    length: Length = Length()
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    losses: Mapping[str, str] = Field(default_factory=dict)
    rates: Rates = Rates()
    convergence: Name | None = None
    pretraining: float = Field(1.0, gt=0)
    pretraining_rate: float | None = Field(None, gt=0)
    probes: tuple[str, ...] = ()
    extra: bool = False

    @model_validator(mode="after")
    def _tasks_once(self) -> Arm:
        if not all(self.models) or len(set(self.tasks)) < sum(map(len, self.models)):
            raise ValueError(f"{self.name}: each model has a task, and each task one model")
        return self

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(task for model in self.models for task in model)

    @property
    def alone(self) -> bool:
        """Whether each model trains a single task."""
        return all(len(model) == 1 for model in self.models)

    @property
    def start_arm(self) -> str | None:
        """The arm whose models this arm begins with."""
        return self.start.removeprefix(MODEL_OF) if self.start.startswith(MODEL_OF) else None

    @property
    def needs(self) -> tuple[str, ...]:
        """Arms that must have run before this arm in the same seed."""
        found = [*self.length.of, self.start_arm, self.convergence]
        return tuple(dict.fromkeys(name for name in found if name is not None))

    def model_of(self, task: str) -> tuple[str, ...]:
        """The tasks of the model that trains ``task``."""
        return next(model for model in self.models if task in model)

    def key(self, model: tuple[str, ...]) -> str:
        """Identifies one of its models in a seed; the name of a folder below the seed's ``runs``."""
        return self.name if len(self.models) == 1 else f"{self.name}/{','.join(model)}"


class Contrast(Strict):
    """A comparison: the score of ``arm`` minus that of ``minus``, on ``tasks``, and the mean over these tasks.

    With ``than``, it compares two differences (an interaction): ``arm`` minus ``minus``, minus the difference of the
    two arms of ``than``. It is positive where ``arm`` gains more over ``minus`` than the first arm of ``than`` over the
    second.

    A task on which the ``reference`` (by default ``minus``, and the second arm of ``than``) does not beat both the best
    baseline and its own score with shuffled images is not learned: a difference there is no gain.
    """

    arm: Name
    minus: Name
    tasks: tuple[str, ...] = Field(min_length=1)
    reference: Name | None = None
    than: tuple[Name, Name] | None = None

    @model_validator(mode="after")
    def _differ(self) -> Contrast:
        for arm, minus in (self.compared[:2], self.compared[2:] or self.compared[:2]):
            if arm == minus:
                raise ValueError(f"a contrast compares the arm {arm} with itself")
        if len(set(self.compared)) < len(self.compared):
            twice = next(name for name in self.compared if self.compared.count(name) > 1)
            raise ValueError(f"expected four different arms in the contrast {self.name}, found {twice} twice")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"the contrast {self.name} names a task twice")
        return self

    @property
    def name(self) -> str:
        if self.than is None:
            return f"{self.arm} minus {self.minus}"
        return f"({self.arm} minus {self.minus}) minus ({self.than[0]} minus {self.than[1]})"

    @property
    def compared(self) -> tuple[str, ...]:
        """The arms whose scores the contrast needs: two, or four with ``than``."""
        return (self.arm, self.minus, *(self.than or ()))

    @property
    def judges(self) -> tuple[str, ...]:
        """The arms that show whether a task is learned: all of them have to learn it."""
        return self.compared[1::2] if self.reference is None else (self.reference,)

    @property
    def arms(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self.compared, *self.judges)))
