"""Whether a run that is to be resumed is complete, so that nothing is left to train."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import join

from twelve.config import load_run
from twelve.errors import CheckpointError
from twelve.io import files
from twelve.run_folder import RunFolder
from twelve.settings import RunConfig

ANYWHERE = ("run", "training")
"""Keys that may differ from those of the run: its place, and how it trains, of which only the length matters here."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has trained as long as a configuration asks for.

    Attributes:
        done: its iterations.
        early: whether it was stopped because its validation score no longer rose.
        longer: the options of ``twelve train`` that train it longer.
    """

    done: int
    early: bool
    longer: tuple[str, ...]


def ended(config: RunConfig, run: RunFolder) -> Ended | None:
    """How a run has ended; None if training, or ``config``, has more iterations left. Only lengths are compared.

    Raises:
        ConfigError: the run's configuration cannot be read.
    """
    trained = run.read(run.trained)
    done, saved = trained.get("iterations"), run.saved()
    if type(done) is not int or not saved or saved[-1] != run.checkpoint(done):
        return None
    now, then = config.training, load_run(run.path).training
    stopped = _stopped(trained.get("events"), done)
    early = stopped and None not in (now.patience, then.patience) and (now.patience or 0) <= (then.patience or 0)
    if now.iterations is None:
        whole = not stopped and then.iterations is None and now.epochs == then.epochs
    else:
        whole = now.iterations == done
    if not early and not whole:
        return None
    length = 2 * done if whole else now.iterations if now.iterations != then.iterations else None
    settings = [f"training.iterations={length}"] if length else []
    settings += ["training.patience=null"] if early else []
    return Ended(done, early, ("--continue", *(word for each in settings for word in ("--set", each))))


def completion(config: RunConfig, run: RunFolder) -> str | None:
    """What to tell of a complete run, with the command that trains it longer; None if it is to be resumed: to train, or
    to write again what is missing from its folder.

    Args:
        config: with which it is to be resumed.
        run: holds a run with this configuration, apart from lengths and places.
    """
    if (found := ended(config, run)) is None or not _whole(run):
        return None
    begun = load_run(run.path)
    ours, theirs = (
        {key: value for key, value in each.absolute().items() if key not in ANYWHERE} for each in (config, begun)
    )
    if ours != theirs:  # the run's configuration is to be written again
        return None
    why = "; it was stopped because its validation score no longer rose" if found.early else ""
    return (
        f"this run is complete, with {found.done:,} iterations{why}: nothing was trained, and its folder is unchanged\n"
        f"to train it longer: {join(['twelve', 'train', str(run.config), *found.longer])}"
    )


def _whole(run: RunFolder) -> bool:
    """Whether the folder has everything that training writes."""
    there = all(files.is_there(file, CheckpointError) for file in (run.metrics, run.validation_images))
    return there and run.lacking() is None and bool(run.read(run.data)) and bool(run.read(run.machine))


def _stopped(events: object, done: int) -> bool:
    """Whether the events of a run tell that it was stopped after its last iteration, by ``training.patience``."""
    told = [each for each in events if isinstance(each, dict)] if isinstance(events, list) else []
    return any(each.get("event") == "early stop" and each.get("iteration") == done for each in told)
