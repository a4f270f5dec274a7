"""What commands that use a model say of a run whose training has not ended, so that nobody takes it for the result."""

from __future__ import annotations

from pathlib import Path

from twelve.config import load_run
from twelve.errors import TwelveError, quoted
from twelve.run_folder import RunFolder


def unfinished(folder: Path) -> str | None:
    """How far the training of a run has come, and the command that resumes it; None if it has ended, or if that is not
    known, as of a model's folder.

    Args:
        folder: of the run, or of its model.
    """
    run = RunFolder(folder)
    if not run.config.is_file():
        run = RunFolder(folder.parent)
    if not run.config.is_file() or run.trained.is_file():
        return None
    try:
        return _progress(run)
    except TwelveError:  # a damaged file has its own error elsewhere, and what needs no log works without it
        return None


def _progress(run: RunFolder) -> str | None:
    """:func:`unfinished` of a run that has a configuration.

    Raises:
        TwelveError: a file of the run cannot be read.
    """
    training = load_run(run.path).training
    total = training.iterations
    done = max((line["iteration"] for line in run.logged()), default=0)
    again = run.diverged()
    if not done or (total is not None and done >= total and again is None):
        return None
    far = f"{done:,} of {total:,} iterations are done" if total else f"{done:,} iterations are done"
    if again is not None:
        why = "training stopped because a loss or a weight was not a number"
        return f"{why}; {far}; to train it with a lower rate: {again}"
    again = f"twelve train {quoted(run.config)} --continue"
    more = ""  # checkpoints that are gone are not resumed
    if run.saved():
        more = f"; to resume it: {again}"
    elif done <= training.save_every:
        more = f"; no checkpoint yet; start again: {again}"
    return f"training has not ended; {far}, so this is not the final model{more}"
