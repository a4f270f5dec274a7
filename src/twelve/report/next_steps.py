"""What to do next with a run, from its numbers: steps in words, each with commands that run as they stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import join

from twelve.config import load
from twelve.errors import TwelveError
from twelve.evaluation.compared import guess
from twelve.evaluation.parts import FEWEST_GROUPS
from twelve.formats.data_root import DataRoot
from twelve.report import words
from twelve.report.heading import is_synthetic
from twelve.report.one_answer import one_answer
from twelve.report.reading import Run
from twelve.report.rising import rising
from twelve.report.verdict import ScoredTask, examples, verdict
from twelve.run_folder import RunFolder
from twelve.tasks.custom import FileTask
from twelve.training.convergence import GAIN

UNLEARNED = 2
"""Most tasks at their baseline that are listed one by one."""
LOW = 70
"""Normalised score below which fine-tuning, or more data, is advised."""
WIDE = 10
"""An interval of more points is called wide."""
SMALL = 0.1
"""Share of the official training examples below which a training set is called small."""
ADDED, MOST_TIMES = 75, 5
"""Lines that are added, about; how many times the iterations are trained then, at most."""
FEW_LINES = 100
"""Examples in the training file of a task of one's own below which more are the first thing that it needs."""
FEW_LEARNED = 500
"""The same where the task may be learned, but the score leaves room."""
MEMORISED = 0.15
"""By how much (0..1) the score on training examples is above that on test examples if the model has memorised them."""
KNOWN = 0.9
"""Score on training examples (0..1) below which they are not learned yet."""
HIGH = 90
"""Score of such a task from which more training examples are not needed."""
FEW_EPOCHS, ENOUGH_EPOCHS = 10, 25
"""Epochs below which a task that is not learned was trained too little, and after which it no longer is."""
FALL, SLOWER = 0.1, 4
"""Fall of a validation score from its best (0..1) that tells that steps are too large, and by what the learning rate is
divided then."""
LARGER = 4
"""Times as many images that a larger generated world has."""
LONGEST = 200
"""Characters of a line that is shown as an example."""
FINE_TUNING = "finetune.yaml"


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do.

    Attributes:
        title: what.
        why: the numbers that it follows from.
        commands: one or more, in order.
    """

    title: str
    why: str
    commands: Sequence[str]


def next_steps(run: Run, scored: Sequence[ScoredTask]) -> list[Step]:
    """The steps to take, the most important one first; never none, and none with the commands of another."""
    if not run.finished:
        return list(_unfinished(run))
    if not scored:
        return [Step("Evaluate it", f"There is no {words.score(run.own)} and no baseline yet.", _evaluated(run))]
    found = dict[tuple[str, ...], Step]()
    for step in _all(run, scored):
        same = found.setdefault(tuple(step.commands), step)
        if step.title != same.title:
            found[tuple(step.commands)] = replace(same, why=f"{same.why} {step.title}: {step.why}")
    return list(found.values())


def _all(run: Run, scored: Sequence[ScoredTask]) -> list[Step]:
    """The steps of an evaluated run; several may have the same commands."""
    told, trained = set[str](), [*_little_trained(run, scored), *_fallen(run, scored)]
    rises = [] if trained else [*_rising(run, scored)]
    longer = trained or rises or [*_longer(run, scored)]
    few = [*_few_learned(run, scored, told, longer)]
    first = longer if few and _longer_first(run, scored) else trained
    return [
        *_evaluation(run, scored),
        *first,
        *few,
        *_undecided(run, scored, told),
        *_unlearned(run, scored, told),
        *(rises if first is not rises else ()),
        *_tuned(run, scored),
        *_small(run, scored),
        *_wide(run, scored, told),
        Step("Ask it", "A page on this machine answers questions about your images.", [_twelve("serve", run.folder)]),
    ]


def _twelve(*parts: str | Path) -> str:
    return join(["twelve", *map(str, parts)])


def _evaluated(run: Run) -> list[str]:
    return [_twelve("evaluate", run.folder), _twelve("report", run.folder)]


def _checked(run: Run) -> list[str]:
    """Checks the files of the run's tasks: only its configuration knows its own ones, and where its images are."""
    regions = ("--regions", _here(run, run.config.regions_folder)) if run.config.regions else ()
    return [_twelve("data", "check", _here(run, run.config.data), "--config", _config(run), *regions)]


def _here(run: Run, path: str | Path) -> Path:
    """A path of the configuration, which has absolute ones, as the commands name the run's folder: from the current
    folder, if the path is in it."""
    path, current = Path(path), Path.cwd()
    return path.relative_to(current) if not run.folder.is_absolute() and path.is_relative_to(current) else path


def _train(config: str | Path, *settings: str) -> str | None:
    """The command that trains with these settings; None if the configuration does not allow them."""
    try:
        load(config, settings)
    except TwelveError:
        return None
    return _twelve("train", config, *(word for setting in settings for word in ("--set", setting)))


def _config(run: Run) -> Path:
    return RunFolder(run.folder).config


def beside(run: Run, name: str) -> str:
    """A setting for a run in a new folder beside this one."""
    return f"run={run.folder.with_name(f'{run.folder.resolve().name}-{name}')}"


def _unfinished(run: Run) -> Iterator[Step]:
    done, length = run.history.iterations, run.config.training.iterations
    why = f"{done:,} of {length:,} iterations are done." if length else f"{done:,} iterations are done."
    if not done:
        yield Step("Train it", "Nothing has been trained yet.", [_twelve("train", _config(run), "--continue")])
        return
    yield Step("Resume the training", why, [_twelve("train", _config(run), "--continue")])
    if run.model:
        which = "last validated model" if run.config.training.keep_model == "last" else "best model so far"
        yield Step("Evaluate the model so far", f"The {which} is saved.", _evaluated(run))


def _evaluation(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """An evaluation that lacks something, or is of an earlier model."""
    since = run.facts.get("iterations")
    without = [each.title for each in scored if not each.score.baselines]
    if isinstance(since, int) and (newer := _newer(run, since)):
        yield Step("Evaluate it again", newer, _evaluated(run))
    elif without:
        why = f"Without baselines ({', '.join(without)}), nothing shows that it uses the images."
        yield Step("Measure the baselines", why, _evaluated(run))
    elif since is None:
        why = "These results are of an earlier version, which did not measure the parts of a task."
        yield Step("Evaluate it again", why, _evaluated(run))


def _newer(run: Run, since: int) -> str:
    """Why results that were measured after ``since`` iterations are not those of the model that is kept now; "" if they
    are: a run that was trained on since has kept the same model if none was better."""
    done, now = run.history.iterations, run.kept
    if done <= since or (now is not None and now.iteration <= since):
        return ""
    if now is None:
        return f"These results were measured after {since:,} iterations; {done:,} are done now."
    better = "" if now.last else ", which is better on the validation images,"
    return (
        f"These results were measured after {since:,} iterations. {done:,} are done now, and the model of iteration "
        f"{now.iteration:,}{better} has replaced the measured one."
    )


def _again(run: Run, name: str, *settings: str) -> list[str]:
    """The commands that train with other settings into a new folder, and measure; none if that is not possible."""
    chosen = beside(run, name)
    train, folder = _train(_config(run), *settings, chosen), Path(chosen.removeprefix("run="))
    return [] if train is None else [train, _twelve("evaluate", folder), _twelve("report", folder)]


def _not_learned(run: Run, scored: Sequence[ScoredTask]) -> ScoredTask | None:
    """The run's only task, if its score is no better than a baseline."""
    tried = (each for each in scored if each.name == run.alone and each.score.groups >= FEWEST_GROUPS)
    return next((each for each in tried if each.score.unbeaten), None)


def _iterations(run: Run) -> int | None:
    """How many iterations the only task needs for enough epochs, if it has had few; else None."""
    epochs, done = run.epochs, run.history.iterations
    if epochs is None or not 0 < epochs < FEW_EPOCHS:
        return None
    return max(2 * done, _rounded(done * ENOUGH_EPOCHS / epochs))


def _little_trained(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """A single task that is not learned, whose examples were trained on a few times only: train longer."""
    each, many, epochs = _not_learned(run, scored), _iterations(run), run.epochs
    if each is None or many is None or epochs is None:
        return
    commands = _again(run, "longer", f"training.iterations={many}")
    if commands:
        size, done = run.data.tasks[each.name].train, run.history.iterations
        why = (
            f"{done:,} iterations of {min(run.batch_size(each.name), size)} are only {words.epochs(epochs)} of the "
            f"{size:,} training examples; {many:,} are {words.epochs(many * epochs / done)}"
        )
        spent = f", in about {words.about(run.history.seconds * many / done)}" if run.history.seconds else ""
        yield Step("Train longer", f"{why}{spent}.", commands)


def _rounded(count: float) -> int:
    """A number rounded up to two digits: ``415.2 -> 420``."""
    unit = 10 ** max(0, len(str(int(count))) - 2)
    return int(-(-count // unit) * unit)


def _fallen(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """A single task that is not learned, with signs of steps that are too large: lower the learning rate. After few
    epochs, train for longer as well: small steps need more of them."""
    each, many = _not_learned(run, scored), _iterations(run)
    if each is None:
        return
    points = [score for _, score in run.history.scores.get(each.name, ())]
    count, rate = run.validation_examples(each.name) or 0, run.learning_rate(each.name)
    best, last = (max(points), points[-1]) if points else (0.0, 0.0)
    if count and best - last >= max(FALL, 2 / count):  # one example may change by chance
        why = f"The validation score fell from {100 * best:.1f}, its best, to {100 * last:.1f} at the end"
    elif rate > run.task(each.name).defaults.learning_rate and one_answer(run):
        why = "A model that gives the same answer to everything was often trained with steps that are too large"
    else:
        return
    lower = words.rate(rate / SLOWER)
    longer = () if many is None else (f"training.iterations={many}",)
    commands = _again(run, "slower", f"tasks.{each.name}.learning_rate={lower}", *longer)
    if commands:
        then = "" if many is None else ", with as many iterations as above"
        yield Step("Lower the learning rate", f"{why}. The rate was {words.rate(rate)}; try {lower}{then}.", commands)


def _room(run: Run, scored: Sequence[ScoredTask]) -> list[ScoredTask]:
    """Tasks of one's own that are learned, or may be, with a score that leaves room for improvement."""
    own = (each for each in scored if run.is_own(each.name) and each.score.groups >= FEWEST_GROUPS)
    return [each for each in own if each.score.bar.value < HIGH and (each.score.beats_all or each.score.undecided)]


def _longer_first(run: Run, scored: Sequence[ScoredTask]) -> bool:
    """Whether longer training, which needs no new examples, comes before more examples: unless all are memorised."""
    return not all(_memorised(run, each) for each in _room(run, scored))


def _longer(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """A single task whose score leaves room, and whose examples are not memorised: train longer."""
    for each in _room(run, scored):
        known, found, done = run.learned.get(each.name), each.score.bar.value, run.history.iterations
        ended = (run.config.training.iterations or done) > done  # early, because nothing improved
        if run.alone != each.name or ended or not done or _memorised(run, each):
            continue
        if known is None:
            why = f"The score of {found:.1f} leaves room for improvement."
        elif known < KNOWN:
            why = f"The model scores only {100 * known:.1f} on its own training examples: it has not learned them yet."
        else:
            why = (
                f"The model scores {100 * known:.1f} on its own training examples and {found:.1f} on the test "
                "examples, which does not tell whether it needs more training or more examples."
            )
        spent = f" and takes about {words.about(2 * run.history.seconds)}" if run.history.seconds else ""
        commands = _again(run, "longer", f"training.iterations={2 * done}")
        if commands:
            yield Step("Train longer", f"{why} Twice the training needs no new examples{spent}.", commands)


def _few_learned(run: Run, scored: Sequence[ScoredTask], told: set[str], longer: Sequence[Step]) -> Iterator[Step]:
    """Tasks of one's own that few examples taught something: more of them teach more.

    Args:
        told: see :func:`_new_images`.
        longer: steps that train longer, which come before this one unless the examples are memorised.
    """
    for each in _room(run, scored):
        found = f"{each.score.bar.value:.1f}"
        few = f"The score of {found} leaves room for improvement, and there are few training examples. "
        rest = f"If that does not raise the score of {found} enough, more examples may. " if longer else few
        why = _memorised(run, each) or rest
        step = _few_lines(run, each, why, told, FEW_LEARNED)
        yield from [] if step is None else [step]


def _memorised(run: Run, each: ScoredTask) -> str:
    """A sentence that says so if the model knows its training examples far better than the test examples, or all of
    them."""
    known, found = run.learned.get(each.name), each.score.bar.value
    if known is None or (known < 1 and 100 * known - found < 100 * MEMORISED):
        return ""
    return (
        f"The model scores {100 * known:.1f} on its own training examples and {found:.1f} on the test examples: it has "
        "memorised them, and needs more. "
    )


def _undecided(run: Run, scored: Sequence[ScoredTask], told: set[str]) -> Iterator[Step]:
    """Scores above every baseline, of too few examples to tell whether by chance; ``told``: see :func:`_new_images`."""
    found = [each for each in scored if each.score.undecided and each.score.groups >= FEWEST_GROUPS]
    if found:
        each, best = found[0], found[0].score.best_unbeaten
        assert best is not None
        others = f" The same is true of {', '.join(other.title for other in found[1:])}." if len(found) > 1 else ""
        why = (
            f"{examples(each)} are too few to tell whether {each.score.bar.value:.1f} is really better than "
            f"{guess(best.name)} ({best.bar.value:.1f}).{others}"
        )
        yield _on_more(run, found, "Evaluate on more examples", why, told)


def _on_more(run: Run, scored: Sequence[ScoredTask], title: str, why: str, told: set[str]) -> Step:
    """Evaluate on more test examples: one's own can be added to, those of a dataset may be incomplete."""
    own = [task for task in (run.task(each.name) for each in scored) if isinstance(task, FileTask)]
    if not own:
        return Step(title, why, _checked(run))
    root = DataRoot(run.config.data, run.config.sources)
    files = list(dict.fromkeys(_here(run, root.path / task.test_split) for task in own))
    extract, which = _new_images(run, own, told)
    how = f"Add lines to {' and '.join(map(str, files))}{_like(files[0])}. {which}"
    why = f"{why} Four times as many halve the interval. {how}"
    return Step("Add test examples", why, [*extract, *_evaluated(run)])


def _new_images(run: Run, tasks: Sequence[FileTask], told: set[str]) -> tuple[list[str], str]:
    """The commands that extract the regions of new images, and a sentence that says so.

    Args:
        told: commands that an earlier step recommends, which are not repeated; these are added.
    """
    from twelve.regions.store.region_store import RegionStore  # loads pyarrow, which an early error must not wait for

    root = DataRoot(run.config.data, run.config.sources)
    store = RegionStore(_here(run, run.config.regions_folder), data=_here(run, root.path))
    found = [store.command(source) for source in dict.fromkeys(root.image_source(task) for task in tasks)]
    new = [command for command in found if command not in told]
    told.update(new)
    if not new:
        return [], "If the lines name new images, extract their regions first, as above."
    first = "command extracts" if len(new) == 1 else f"{len(new)} commands extract"
    return new, f"If the lines name new images, the first {first} their regions."


def _like(path: Path) -> str:
    """The first line of a file, as an example, unless it is long or cannot be read."""
    try:
        with path.open(encoding="utf-8") as file:
            line = file.readline(LONGEST + 1).strip()
    except (OSError, ValueError):
        return ""
    return f", such as {line}" if 0 < len(line) <= LONGEST else ""


def _unlearned(run: Run, scored: Sequence[ScoredTask], told: set[str]) -> Iterator[Step]:
    """Tasks that are not above a baseline: add training examples to few, train them alone, or check their data.

    Args:
        told: see :func:`_new_images`.
    """
    tried = [each for each in scored if each.score.groups >= FEWEST_GROUPS]
    below = [each for each in tried if each.score.unbeaten and not each.score.undecided]
    said = verdict(run, scored).sentence
    for each in below[:UNLEARNED]:
        best = each.score.best_unbeaten
        assert best is not None
        why = "" if best.compared in said else f"Its score of {each.score.bar.value:.1f} is {best.compared}. "
        why += _memorised(run, each)
        alone = None
        if len(run.config.tasks) > 1:
            alone = _train(_config(run), f"tasks=[{each.name}]", beside(run, each.name))
        few = _few_lines(run, each, why, told)
        if few is not None:
            yield few
        elif alone is None:
            why += "Check its files, its regions, and whether its loss falls (the curve is below)."
            yield Step(f"Check the data of {each.title}", why, _checked(run))
        else:
            why += "If it learns alone, it needs more iterations here; if not, check its regions and labels."
            yield Step(f"Train {each.title} alone", why, [alone])


def _few_lines(run: Run, each: ScoredTask, why: str, told: set[str], most: int = FEW_LINES) -> Step | None:
    """Add examples to the small training file of a task of one's own that is not learned, and train again.

    Args:
        why: the numbers that tell that it is not learned.
        told: see :func:`_new_images`.
        most: lines from which the file is not small.
    """
    task = run.task(each.name)
    if not isinstance(task, FileTask) or not run.is_own(each.name):
        return None
    file = _here(run, DataRoot(run.config.data, run.config.sources).path / task.train_split)
    sizes = run.data.tasks.get(each.name)
    count = _lines(file) or (sizes.train + sizes.validation if sizes else 0)
    chosen = beside(run, "more" if len(run.config.tasks) == 1 else f"{each.name}-more")
    if not 0 < count < most:
        return None
    # As often through the examples as now, so that a new score is due to the examples alone.
    longer, before = min(MOST_TIMES, round((count + max(count, ADDED)) / count)), run.config.training.iterations
    settings = [] if before is None else [f"training.iterations={longer * before}"]
    if before is not None and run.epochs and run.alone == each.name:
        settings = ["training.iterations=null", f"training.epochs={max(1, round(run.epochs))}"]
    again = _train(_config(run), *(() if len(run.config.tasks) == 1 else (f"tasks=[{each.name}]",)), *settings, chosen)
    if again is None:
        return None
    extract, which = _new_images(run, [task], told)
    even = " (about as many of each answer)" if task.kind in ("answer", "pair", "entailment") else ""
    lines = "1 line" if count == 1 else f"{count} lines"
    added = "50 to 100" if count <= FEW_LINES else f"about {count}"
    how = f"Add {added} lines{even} to {file}, which has {lines}{_like(file)}"
    compare = (
        "The last command gives the new score on the training file: if that is low, too, train for more iterations, "
        "at another learning rate, or from another base model. If it is high and the test score stays low, what you "
        "ask about may not be in the boxes that the model sees (docs/tutorial.md, “If it is still at chance”)."
    )
    folder = Path(chosen.removeprefix("run="))
    commands = [again, _twelve("evaluate", folder), _twelve("report", folder)]
    compared = _twelve("evaluate", folder, "--split", task.train_split)
    alike = "" if len(run.config.tasks) == 1 else f"{each.title}: "
    why = f"{alike}{why}{how}. {which} {compare}"
    return Step("Add training examples", why, [*extract, *commands, compared])


def _lines(path: Path) -> int:
    """The number of lines of a file that are not empty; 0 if it cannot be read."""
    try:
        with path.open(encoding="utf-8") as file:
            return sum(1 for line in file if line.strip())
    except (OSError, ValueError):
        return 0


def _rising(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """Validation scores that still rise at the end: train longer."""
    history, found = run.history, rising(run)
    if found is None or found.mean < GAIN:
        return
    many = f"training.iterations={2 * history.iterations}"
    place = () if run.checkpoints else (beside(run, "longer"),)
    command = _train(_config(run), many, *place)
    if command is not None:
        command += " --continue" if run.checkpoints else ""
        spent = words.about(history.seconds * (1 if run.checkpoints else 2))
        said = "" if found.sentence in verdict(run, scored).sentence else f"{found.sentence} "
        rise = "the validation score rose" if found.tasks == 1 else "validation scores rose, on average,"
        why = (
            f"{said}Over {found.span}, {rise} by {100 * found.mean:.1f} points. Twice the iterations "
            f"take about {spent}{' more' if run.checkpoints else ''}."
        )
        yield Step("Train longer", why, [command])


def _tuned(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """The weakest task that is learned: fine-tune it from this model."""
    known = [(each.score.normalised, each) for each in scored if each.score.normalised is not None]
    known = [(place, each) for place, each in known if each.score.beats_all and each.name in run.config.tasks]
    if len(run.config.tasks) < 2 or not known:
        return
    place, each = min(known, key=lambda pair: pair[0])
    if place >= LOW or not run.model:
        return
    command = _train(FINE_TUNING, f"init={run.folder}", f"tasks=[{each.name}]", beside(run, f"{each.name}-tuned"))
    if command is not None:
        why = f"Of the learned tasks it has the lowest normalised score, {place:.0f} of 100."
        yield Step(f"Fine-tune {each.title}", why, [command])


def _small(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """Low scores on small training sets."""
    low = [each for each in scored if not each.score.beats_all or (each.score.normalised or 0) < LOW]
    sizes = {each.name: run.data.tasks[each.name].train for each in low if each.name in run.data.tasks}
    if not sizes:
        return
    if is_synthetic(run):
        least = min(sizes, key=lambda name: sizes[name])
        scale = LARGER * run.config.microworld.scale
        data = _here(run, run.config.data)
        settings = (
            f"microworld.scale={scale:g}",
            f"data={data.with_name(f'{data.name}-larger')}",
            "regions=null",
            beside(run, "larger"),
        )
        command = _train(_config(run), *settings)
        if command is not None:
            few_examples = f"{run.task(least).title} has {sizes[least]:,} training examples"
            why = f"{few_examples}. Generate {LARGER} times as many images."
            yield Step("Train on more examples", why, [command.replace("twelve train", "twelve quickstart", 1)])
        return
    few = {name: share for name in sizes if (share := _share(run, name, sizes[name])) is not None and share < SMALL}
    if few:
        told = [
            f"{run.task(name).title} {sizes[name]:,} ({share:.1%} of the official ones)" for name, share in few.items()
        ]
        why = f"Training examples: {', '.join(told)}. The command lists official files that are missing or incomplete."
        yield Step("Get more examples", why, _checked(run))


def _share(run: Run, name: str, size: int) -> float | None:
    """The training examples as a share of those in the official files, if their number is known."""
    task = run.task(name)
    settings = run.config.tasks.get(name)
    split = (settings.train if settings else None) or task.train_split
    official = task.official_counts.get(split, (None, None))[0]
    return size / official if official else None


def _wide(run: Run, scored: Sequence[ScoredTask], told: set[str]) -> Iterator[Step]:
    """Scores of too few examples to compare; ``told``: see :func:`_new_images`."""
    few = [each for each in scored if each.score.groups < FEWEST_GROUPS]
    if few:
        titles = ", ".join(each.title for each in few)
        why = f"Fewer than {FEWEST_GROUPS} images: no interval of {titles} can be trusted."
        yield _on_more(run, few, "Evaluate on more images", why, told)
        return
    # Of an undecided one, this is said already.
    wide = [each for each in scored if _width(each) > WIDE and not each.score.undecided]
    if wide and not is_synthetic(run):
        worst = max(wide, key=_width)
        bar = worst.score.bar
        ends = f"{bar.low:.1f} to {bar.high:.1f}"
        why = (
            f"On {len(wide)} of {len(scored)} tasks, the 95% interval is more than {WIDE} points wide (widest: "
            f"{worst.title}, {ends}): other scores in this range may differ by chance alone."
        )
        if len(scored) == 1:
            why = f"The 95% interval is {ends}: other scores in this range may differ by chance alone."
        yield _on_more(run, [worst], "Evaluate on more examples", why, told)


def _width(each: ScoredTask) -> float:
    bar = each.score.bar
    return 0.0 if bar.low is None or bar.high is None else bar.high - bar.low
