"""Whether a run that is to be resumed is complete, so that nothing is left to train."""

from __future__ import annotations

from shlex import join

from twelve.config import load_run
from twelve.errors import CheckpointError
from twelve.io import files
from twelve.run_folder import RunFolder
from twelve.settings import RunConfig

ANYWHERE = ("run", "training")
"""Keys that may differ from those of the run: its place, and how it trains, of which only the length matters here."""


def completion(config: RunConfig, run: RunFolder) -> str | None:
    """What to tell of a complete run, with the command that trains it longer; None if it is to be resumed: to train, or
    to write again what is missing from its folder.

    Args:
        config: with which it is to be resumed.
        run: holds a run with this configuration, apart from lengths and places.
    """
    trained = run.read(run.trained)
    done, saved = trained.get("iterations"), run.saved()
    if type(done) is not int or not saved or saved[-1] != run.checkpoint(done) or not _whole(run):
        return None
    begun = load_run(run.path)
    ours, theirs = (
        {key: value for key, value in each.absolute().items() if key not in ANYWHERE} for each in (config, begun)
    )
    if ours != theirs:  # the run's configuration is to be written again
        return None
    now, then = config.training, begun.training
    stopped = _stopped(trained.get("events"), done)
    early = stopped and None not in (now.patience, then.patience) and (now.patience or 0) <= (then.patience or 0)
    if now.iterations is None:
        ended = not stopped and then.iterations is None and now.epochs == then.epochs
    else:
        ended = now.iterations == done
    if not early and not ended:
        return None
    longer = 2 * done if ended else now.iterations if now.iterations != then.iterations else None
    settings = [f"training.iterations={longer}"] if longer else []
    settings += ["training.patience=null"] if early else []
    why = "; it was stopped because its validation score no longer rose" if early else ""
    command = ["twelve", "train", str(run.config), "--resume", *(w for each in settings for w in ("--set", each))]
    return (
        f"this run is complete, with {done:,} iterations{why}: nothing was trained, and its folder is unchanged\n"
        f"to train it longer: {join(command)}"
    )


def _whole(run: RunFolder) -> bool:
    """Whether the folder has everything that training writes."""
    there = all(files.is_there(file, CheckpointError) for file in (run.metrics, run.validation_images))
    return there and run.model.is_dir() and bool(run.read(run.data)) and bool(run.read(run.machine))


def _stopped(events: object, done: int) -> bool:
    """Whether the events of a run tell that it was stopped after its last iteration, by ``training.patience``."""
    told = [each for each in events if isinstance(each, dict)] if isinstance(events, list) else []
    return any(each.get("event") == "early stop" and each.get("iteration") == done for each in told)
