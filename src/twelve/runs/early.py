"""What ``twelve train`` checks before it imports what training needs, which takes seconds."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from shlex import join

from twelve.data.files_there import check_annotations
from twelve.errors import ConfigError, TwelveError, check_all, quoted
from twelve.io import files
from twelve.model.processor_file import recipes_of
from twelve.run_folder import RunFolder, model_folder
from twelve.runs.complete import Ended, ended
from twelve.settings import RunConfig
from twelve.training.log import check_trackers


def check(config: RunConfig, *, resume: bool, reads: bool = True) -> None:
    """Check that a run can begin, or be resumed.

    Args:
        resume: resume the run in the folder.
        reads: also check the files that a new run reads, as reading them does too.

    Raises:
        TwelveError: with all that is wrong, :func:`twelve.errors.check_all`.
    """
    read = (base_folder, check_annotations) if reads and not resume else ()
    check_all(
        [
            partial(_check_folder, config, resume),
            *(partial(each, config) for each in (check_schedule, _check_trackers, *read)),
        ]
    )


def _check_folder(config: RunConfig, resume: bool) -> None:
    """Raise an error rather than overwrite anything trained, or make a folder at the root of the file system for the
    run to lie in, which is probably a typing mistake."""
    run = RunFolder(config.run)
    run.check_links()
    top = run.path.absolute().parents[-2:-1]
    if top and not top[0].exists():
        remedy = f"correct the path (--set run=FOLDER), or make that folder: mkdir {quoted(top[0])}"
        raise ConfigError(f"the folder {top[0]} does not exist", file=run.path, record="run", remedy=remedy)
    exists = files.is_there(run.config, ConfigError)
    if exists and not resume and run.holds_training():
        found: Ended | None = None
        with suppress(TwelveError):  # its configuration cannot be read, which only resuming needs
            found = ended(config, run)
        if found is None:
            problem, remedy = "this folder already holds a run", "add --continue, or --set run=ANOTHER"
        else:
            problem = "this folder already holds a run, which is complete"
            remedy = f"train into another: --set run=ANOTHER (to train it longer, add {join(found.longer)})"
        raise ConfigError(problem, file=run.path, remedy=remedy)
    if resume and not exists:
        remedy = "omit --resume, or use --continue, which starts a run if there is none"
        raise ConfigError("there is no run to resume", file=run.path, remedy=remedy)


def check_schedule(config: RunConfig) -> None:
    """Raise ConfigError where the schedule or the balancing is unknown, or has options that it cannot have."""
    from twelve.training.balancing import check_balancing
    from twelve.training.schedules import SCHEDULES, check_options, check_stops

    schedule = config.schedule
    check_options(schedule.name, schedule.options)
    check_balancing(config, weighs=SCHEDULES[schedule.name].weighs)
    if config.replay:
        check_stops(schedule.name)


def _check_trackers(config: RunConfig) -> None:
    check_trackers(config.training.trackers)


def base_recipes(config: RunConfig) -> dict[str, str]:
    """Image source -> how the model that a run begins with (``model.init``) wants its regions made; empty for a new
    model, or one that cannot be read."""
    with suppress(TwelveError):
        if (folder := base_folder(config)) is not None:
            return recipes_of(folder)
    return {}


def base_folder(config: RunConfig) -> Path | None:
    """The folder of the model that a run begins with (``model.init``); None where it begins with a new one.

    Raises:
        ConfigError: the folder does not exist.
        CheckpointError: it holds no model.
    """
    init = config.model.init
    if not init:
        return None
    if not Path(init).exists():
        raise ConfigError(
            f"no such folder{files.folder_beside(Path(init)) or files.from_here(Path(init))}",
            file=init,
            record="model.init",
            remedy="train that model first, name another (--set model.init=RUN), or begin a new one: "
            "--set model.init=null",
        )
    return model_folder(Path(init))
