"""Comparison of this package with recordings of the original program: ``twelve parity PATH``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twelve.errors import DataError

if TYPE_CHECKING:
    from twelve.parity.discover import Recording
    from twelve.parity.report import Difference


def run(path: Path) -> int:
    """Compare with every recording at ``path`` (see :mod:`twelve.parity.discover`) and print the differences.

    Returns:
        0 if every quantity is within its tolerance, else 1.

    Raises:
        TwelveError: there is no recording at ``path``, or one is incomplete, damaged or unsupported.
    """
    from rich.console import Console

    from twelve.parity.discover import discover
    from twelve.parity.report import report

    found = discover(path)
    return report(((f"{r.path} ({r.kind.replace('_', ' ')})", compare(r)) for r in found), Console())


def compare(recording: Recording) -> list[Difference]:
    """Compare this package with one recording.

    Raises:
        TwelveError: the recording is incomplete, damaged or unsupported.
    """
    from twelve.parity import learning_rate, losses, retrieval, stop_and_go, train_trace
    from twelve.parity.recording import REMEDY, comparing

    by_kind = {
        "forward": _model,
        "retrieval": retrieval.run,
        "losses": losses.run,
        "stop_and_go": stop_and_go.run,
        "learning_rate": learning_rate.run,
        "train_trace": train_trace.run,
    }
    with comparing(recording.path):
        differences = by_kind[recording.kind](recording.path)
    if not differences:
        raise DataError("this recording contains nothing to compare", file=recording.path, remedy=REMEDY)
    return differences


def _model(path: Path) -> list[Difference]:
    """Compare a recorded model's forward pass and, for a pretraining model, its losses."""
    from twelve.parity import forward, pretraining
    from twelve.parity.models import ModelRecord
    from twelve.parity.recording import read

    pretrains = read(path / "meta.json", ModelRecord).model_class == "BertForMultiModalPreTraining"
    return [*forward.run(path), *(pretraining.run(path) if pretrains else [])]
