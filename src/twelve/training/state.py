"""What the training loop counts and scores, kept in every checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from twelve.errors import CheckpointError
from twelve.formats.records import describe
from twelve.io.invalid import problem_of

Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
Scores: TypeAlias = dict[str, Annotated[float, Field(allow_inf_nan=False)]]


@dataclass(slots=True)
class TrainerState:
    """How far a run has come.

    Attributes:
        iteration: iterations that are done.
        steps: optimizer steps that are done.
        pairs: pairs of text and image trained on, over all processes.
        seconds: training time.
        scores: task -> its latest validation score, 0..1.
        best: highest mean validation score so far; -inf before the first one.
        bad_validations: validations in a row that did not exceed ``best``.
        before: task that an earlier run trained -> its validation score before the first step.
        kept: task -> validation score of the model in the run's folder.
        unvalidated: whether the validations that follow the last iteration are still to come.
    """

    iteration: Count = 0
    steps: Count = 0
    pairs: Count = 0
    seconds: Annotated[float, Field(ge=0, lt=math.inf)] = 0.0
    scores: Scores = field(default_factory=dict)
    best: Annotated[float, Field(lt=math.inf)] = -math.inf
    bad_validations: Count = 0
    before: Scores = field(default_factory=dict)
    kept: Scores = field(default_factory=dict)
    unvalidated: bool = False

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned.

        Raises:
            CheckpointError: a field is missing, unknown, or not in its range; names it.
        """
        state = {"unvalidated": False, **state}  # checkpoints of earlier versions lack it
        if odd := state.keys() ^ set(TrainerState.__slots__):
            problem = f"{min(odd)} is {'unknown' if min(odd) in state else 'missing'}"
            raise CheckpointError(problem, record="trainer", remedy=_REMEDY)
        try:
            found = _ADAPTER.validate_json(json.dumps(state), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, ("trainer", *first["loc"])))
            raise CheckpointError(problem_of(first, describe), record=place, remedy=_REMEDY) from None
        for name in TrainerState.__slots__:
            setattr(self, name, getattr(found, name))


_REMEDY = "remove this checkpoint and resume from the one before it"
_ADAPTER = TypeAdapter(TrainerState)
