"""Comparing this package with recordings of the original program: ``twelve parity PATH``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twelve.errors import DataError, found_in

if TYPE_CHECKING:
    from twelve.parity.base import Difference
    from twelve.parity.discover import Recording


def run(path: Path) -> int:
    """Compare with every recording at ``path`` (see :mod:`twelve.parity.discover`) and print what was found.

    Returns:
        0 when every quantity is within its tolerance, else 1.

    Raises:
        TwelveError: nothing at ``path`` is recognised, or a recording is incomplete, damaged or not supported.
    """
    from rich.console import Console

    from twelve.parity.discover import discover
    from twelve.parity.report import show

    console = Console()
    quantities, beyond = 0, 0
    for recording in discover(path):
        differences = compare(recording)
        show(f"{recording.path} ({recording.kind.replace('_', ' ')})", differences, console)
        quantities += len(differences)
        beyond += sum(not difference.ok for difference in differences)
    verdict = "all within their tolerances" if not beyond else f"{beyond} beyond their tolerance"
    console.print(f"{quantities} quantities compared, {verdict}")
    return 1 if beyond else 0


def compare(recording: Recording) -> list[Difference]:
    """What one recording and this package differ in.

    Raises:
        TwelveError: the recording is incomplete, damaged or not supported.
    """
    from twelve.parity import learning_rate, losses, retrieval, stop_and_go, train_trace
    from twelve.parity.recording import REMEDY

    by_kind = {
        "forward": _model,
        "retrieval": retrieval.run,
        "losses": losses.run,
        "stop_and_go": stop_and_go.run,
        "learning_rate": learning_rate.run,
        "train_trace": train_trace.run,
    }
    try:
        with found_in(recording.path):
            differences = by_kind[recording.kind](recording.path)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        # Each file is sound by itself, what is in it does not fit together: torch and numpy say so in their own ways.
        problem = f"the parts of this recording do not fit together: {type(error).__name__}: {error}"
        raise DataError(problem, file=recording.path, remedy=REMEDY) from error
    if not differences:
        raise DataError("this recording holds nothing to compare", file=recording.path, remedy=REMEDY)
    return differences


def _model(path: Path) -> list[Difference]:
    """A recorded model's forward pass, and its losses if it is one for pretraining."""
    from twelve.parity import forward, pretraining
    from twelve.parity.models import ModelRecord
    from twelve.parity.recording import read

    pretrains = read(path / "meta.json", ModelRecord).model_class == "BertForMultiModalPreTraining"
    return [*forward.run(path), *(pretraining.run(path) if pretrains else [])]
