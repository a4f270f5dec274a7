"""The outputs, by kind."""

from __future__ import annotations

from twelve.errors import ConfigError, nearest
from twelve.outputs.alignment import Alignment, RetrievalScores
from twelve.outputs.answer import Answer
from twelve.outputs.base import Output, Prediction
from twelve.outputs.entailment import Entailment
from twelve.outputs.options import Options
from twelve.outputs.pair import Pair
from twelve.outputs.pretraining import Pretraining
from twelve.outputs.region import Region
from twelve.outputs.reply import Reply
from twelve.outputs.truth import Truth

_ALL: tuple[Output, ...] = (
    Answer(),
    Alignment(),
    Region(),
    Pair(),
    Entailment(),
    Truth(),
    Reply(),
    Options(),
    Pretraining(),
)
OUTPUTS: dict[str, Output] = {output.kind: output for output in _ALL}


def get_output(kind: str) -> Output:
    """The output of ``kind``; raises ConfigError that suggests the nearest known kind."""
    if kind not in OUTPUTS:
        raise ConfigError(
            f"unknown kind of output {kind!r}{nearest(kind, OUTPUTS)}", remedy=f"choose among {', '.join(OUTPUTS)}"
        )
    return OUTPUTS[kind]


__all__ = ["OUTPUTS", "Output", "Prediction", "RetrievalScores", "get_output"]
