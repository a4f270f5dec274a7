"""Steps for tasks of one's own, whose examples and training are in the hands of whoever reads the report: train longer
or slower, add training or test examples, change the question or the base model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from twelve.data.table_origin import TableOrigin
from twelve.errors import TwelveError
from twelve.evaluation.parts import FEWEST_GROUPS
from twelve.formats.data_root import IMAGES, DataRoot
from twelve.metrics.bootstrap import wilson
from twelve.model.processor_file import CONFIG_FILE, read_fields
from twelve.progress import counted
from twelve.report import words
from twelve.report.one_answer import one_answer
from twelve.report.reading import Run
from twelve.report.rising import rising
from twelve.report.scores import LEAST
from twelve.report.step import (
    Step,
    as_named,
    beside,
    command_line,
    config_of,
    next_run,
    only,
    sentence,
    to_check,
    to_evaluate,
    to_train,
    to_train_again,
)
from twelve.report.tables import converting, rows_to, table_of, tested_share
from twelve.report.verdict import ScoredTask
from twelve.tasks.base import Task, foreign
from twelve.tasks.custom import FileTask

ADDED, MOST_TIMES = 75, 5
"""Lines that are added, about; how many times the iterations are trained then, at most."""
FEW_LINES = 60
"""With fewer training examples than this, a task of one's own first needs more. With as many, if a model has memorised
them and is still not better than a baseline, the question is too hard: with 60, questions
that can be learned scored 82 or more (benchmarks/results/own-questions.json)."""
FEW_LEARNED = 250
"""The same where the task may be learned, but the score leaves room, or where the model has memorised its examples:
each step doubles them, so the last one ends between 250 and 500 (docs/tutorial.md: 200 to 400)."""
MEMORISED = 0.15
"""By how much (0..1) the score on training examples is above that on test examples if the model has memorised them."""
KNOWN = 0.9
"""Score on training examples (0..1) below which they are not learned yet."""
FEW_EPOCHS, ENOUGH_EPOCHS = 10, 25
"""Epochs below which a task that is not learned was trained too little, and after which it no longer is."""
FALL, SLOWER = 0.1, 4
"""Fall of a validation score from its best (0..1) that tells that steps are too large, if chance does not explain it
(see :func:`_has_fallen`), and by what the learning rate is divided then."""
LONGEST = 200
"""Characters of a line that is shown as an example."""


def little_trained(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """A single task that is not learned, whose examples were trained on a few times only: train longer."""
    each, many, epochs = _not_learned(run, scored), _iterations(run), run.epochs
    if each is None or many is None or epochs is None or overfits(run, scored):
        return
    commands = to_train_again(run, "longer", f"training.iterations={many}")
    if commands:
        size, done = run.data.tasks[each.name].train, run.history.iterations
        why = (
            f"{done:,} iterations of {min(run.batch_size(each.name), size)} are only {words.epochs(epochs)} of the "
            f"{size:,} training examples; {many:,} are {words.epochs(many * epochs / done)}"
        )
        spent = f", in about {words.about(run.history.seconds * many / done)}" if run.history.seconds else ""
        yield Step("Train longer", f"{why}{spent}.", commands)


def fallen(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """A single task that is not learned, with signs of steps that are too large: lower the learning rate. After few
    epochs, train for longer as well: small steps need more of them. A model that has memorised its training examples
    needs more of them instead: a lower rate did not raise scores (benchmarks/own_questions.py)."""
    each, many = _not_learned(run, scored), _iterations(run)
    if each is None or overfits(run, scored):
        return
    points = [score for _, score in run.history.scores.get(each.name, ())]
    count, rate = run.validation_examples(each.name) or 0, run.learning_rate(each.name)
    best, last = (max(points), points[-1]) if points else (0.0, 0.0)
    if _has_fallen(best, last, count):
        why = f"The validation score fell from {100 * best:.1f}, its best, to {100 * last:.1f} at the end"
    elif rate > run.task(each.name).defaults.learning_rate and one_answer(run):
        why = "A model that gives the same answer to everything was often trained with steps that are too large"
    else:
        return
    lower = words.rate(rate / SLOWER)
    longer = () if many is None else (f"training.iterations={many}",)
    commands = to_train_again(run, "slower", f"tasks.{each.name}.learning_rate={lower}", *longer)
    if commands:
        then = "" if many is None else ", with as many iterations as above"
        why = f"{why}: try {lower} instead of {words.rate(rate)}{then}."
        yield Step("Lower the learning rate", why, commands)


def _has_fallen(best: float, last: float, count: int) -> bool:
    """Whether a validation score on ``count`` examples has fallen by more than chance explains: the intervals of the
    two do not overlap. This is strict, because the best of many scores is high by chance already."""
    return count > 0 and best - last >= FALL and wilson(last, count).high < wilson(best, count).low


def overfits(run: Run, scored: Sequence[ScoredTask]) -> bool:
    """Whether neither longer training nor a lower learning rate is of use: the only task is not learned, though its
    training examples are memorised."""
    each = _not_learned(run, scored)
    return each is not None and bool(memorised(run, each))


def _not_learned(run: Run, scored: Sequence[ScoredTask]) -> ScoredTask | None:
    """The run's only task, if its score is not better than a baseline, but could be."""
    tried = (each for each in scored if each.name == run.alone and each.score.groups >= FEWEST_GROUPS)
    return next((each for each in tried if each.score.unbeaten and not each.score.no_room), None)


def _iterations(run: Run) -> int | None:
    """How many iterations the only task needs for enough epochs, if it has had few; else None."""
    epochs, done = run.epochs, run.history.iterations
    if epochs is None or not 0 < epochs < FEW_EPOCHS:
        return None
    return max(2 * done, _rounded(done * ENOUGH_EPOCHS / epochs))


def _rounded(count: float) -> int:
    """A number rounded up to two digits: ``415.2 -> 420``."""
    unit = 10 ** max(0, len(str(int(count))) - 2)
    return int(-(-count // unit) * unit)


def longer_first(run: Run, scored: Sequence[ScoredTask]) -> bool:
    """Whether longer training, which needs no new examples, comes before more examples: unless all are memorised."""
    return not all(memorised(run, each) for each in _room(run, scored))


def train_longer(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """A single task whose score leaves room, and whose training examples are not learned yet: train longer, unless the
    validation score has levelled off. If it still rises, there is a step for it already."""
    for each in _room(run, scored):
        known, done = run.learned.get(each.name), run.history.iterations
        ended = (run.config.training.iterations or done) > done  # early, because nothing improved
        if run.alone != each.name or ended or not done or known is None or known >= KNOWN or rising(run) is not None:
            continue
        why = f"The model scores only {100 * known:.1f} on its own training examples: it has not learned them yet."
        spent = f" and takes about {words.about(2 * run.history.seconds)}" if run.history.seconds else ""
        commands = to_train_again(run, "longer", f"training.iterations={2 * done}")
        if commands:
            yield Step("Train longer", why, commands, f"Twice the training needs no new examples{spent}.")


def few_learned(run: Run, scored: Sequence[ScoredTask], longer: Sequence[Step]) -> Iterator[Step]:
    """Tasks of one's own that few examples taught something: more of them teach more.

    Args:
        longer: steps that train longer, which come before this one unless the examples are memorised.
    """
    for each in _room(run, scored):
        bound = each.score.upper_bound
        found = f"{each.score.bar.value:.1f}{'' if bound is None else f' (of {bound.value:.1f} at most)'}"
        few = f"If a score of {found} is not enough, more training examples may raise it"
        rest = f"If that does not raise the score of {found} enough, more examples may" if longer else few
        why = memorised(run, each) or rest
        step = more_lines(run, each, why, FEW_LEARNED)
        yield from [] if step is None else [step]


def _room(run: Run, scored: Sequence[ScoredTask]) -> list[ScoredTask]:
    """Tasks of one's own that are learned, or may be, with a score that leaves room for improvement."""
    own = (each for each in scored if run.can_grow(each.name) and each.score.groups >= FEWEST_GROUPS)
    return [each for each in own if each.score.left > LEAST and (each.score.beats_all or each.score.undecided)]


def memorised(run: Run, each: ScoredTask) -> str:
    """A clause that says so if the model knows its training examples, and far better than the test examples, or all of
    them."""
    known, found = run.learned.get(each.name), each.score.bar.value
    gap = 0.0 if known is None else min(100 * known, found + each.score.left) - found
    if known is None or known < KNOWN or (known < 1 and gap < 100 * MEMORISED):
        return ""
    return (
        f"The model has memorised its training examples (it scores {100 * known:.1f} on them, {found:.1f} on the test "
        "examples)"
    )


def more_lines(run: Run, each: ScoredTask, why: str, most: float = FEW_LINES) -> Step | None:
    """Add examples to the few training examples of a task of one's own that is not learned, and train again.

    Args:
        why: a clause with the numbers that tell that it is not learned; may be empty.
        most: lines, or examples, from which there are not few.
    """
    found = _training_files(run, each.name)
    if found is None or not 0 < found[2] < most:
        return None
    (split, paths, count), task = found, run.task(each.name)
    commands, origin = _trained_on_more(run, each.name, split, count), table_of(run, split)
    if not commands:
        return None
    extract, which = new_images(run, [task])
    even = " About as many of each answer are best." if task.kind in ("answer", "pair", "entailment") else ""
    unit, files = "line" if isinstance(task, FileTask) else "example", " and ".join(map(str, paths))
    there = f"{'has' if len(paths) == 1 else 'have'} {counted(count, unit)}"
    least, most_added = (50, 100) if count < FEW_LINES else (count, count)
    how = f"{_number(least, most_added)} {unit}s to {files}, which {there}"
    if origin is not None:
        trained = 1 - (tested_share(origin) or 0)  # of the rows that are added
        how = (
            f"{_number(round(least / trained), round(most_added / trained))} {rows_to(origin, split)}; {files} {there}"
        )
    epochs = "The training command sets epochs instead of iterations, so that more examples are trained for longer. "
    compare = f"{epochs if any('training.epochs=' in each for each in commands) else ''}" + (
        "The last command gives the new score on the training file: if that is low, too, train for more iterations, "
        "at another learning rate, or from another base model. If it is high and the test score stays low, what you "
        "ask about may not be in the boxes that the model sees (docs/tutorial.md, “If it is still at chance”)."
    )
    alike = "" if len(run.config.tasks) == 1 else f"{each.title}: "
    details = f"{_like(paths[0]) if origin is None else ''}{which}{even} {compare}"
    return Step("Add training examples", f"{alike}{sentence(why, f'add {how}.')}", [*extract, *commands], details)


def _about(count: float) -> str:
    return f"about {_rounded(count):,} "


def _number(least: int, most: int) -> str:
    """How many are added, in words."""
    return f"{least:,} to {most:,}" if least < most else f"about {least:,}"


def _trained_on_more(run: Run, name: str, split: str, count: int) -> list[str]:
    """The commands that train a task on more than its ``count`` examples, and measure; none if that is not possible."""
    chosen = next_run(run) if len(run.config.tasks) == 1 else beside(run, f"{name}-more")
    # As often through the examples as now, so that a new score is due to the examples alone, but no more than suffice.
    longer, before = min(MOST_TIMES, round((count + max(count, ADDED)) / count)), run.config.training.iterations
    settings = [] if before is None else [f"training.iterations={longer * before}"]
    if before is not None and run.epochs and run.alone == name:
        from twelve.runs.own_task import PER_EXAMPLE  # imports Pillow, which a mistake need not wait for

        trained = 1 - run.config.val_fraction  # of the lines, of which PER_EXAMPLE counts all
        suffice = PER_EXAMPLE * run.batch_size(name) / trained
        settings = ["training.iterations=null", f"training.epochs={max(1, round(min(run.epochs, suffice)))}"]
    again, folder = to_train(config_of(run), *only(run, [name]), *settings, chosen), chosen.removeprefix("run=")
    if again is None:
        return []
    return [
        again,
        command_line("evaluate", folder),
        command_line("report", folder),
        command_line("evaluate", folder, "--split", split),
    ]


def too_hard(run: Run, each: ScoredTask) -> Step | None:
    """Change the question, or the base model if there is one, of a task of one's own that is not learned though its
    training examples are memorised and not few: if it could be learned, so many would be enough."""
    known, found = memorised(run, each), _training_files(run, each.name)
    if not known or found is None or found[2] < FEW_LINES:
        return None
    unit = "line" if isinstance(run.task(each.name), FileTask) else "example"
    alike = "" if len(run.config.tasks) == 1 else f"{each.title}: "
    based, asking = run.config.model.init is not None, _to_ask_base(run, each.name)
    ask = "ask the base model what it sees, and " if asking else ""
    change = "try another base model or another question" if based else "try another question or a larger model"
    why = (
        f"{alike}{known}; with {counted(found[2], unit)}, more may not help: the question may be too hard for "
        f"this model; {ask}{change} (docs/tutorial.md, “If it is still at chance”)."
    )
    details = "The first command checks the files."
    if asking:
        details += " In the second, write an object that you ask about instead of NAME."
    if based:
        details += (
            " If the base model does not recognise what you ask about, start from one that does. If it does, word the "
            "question otherwise, or ask a simpler one."
        )
    title = f"Change the question or the {'base ' * based}model"
    return Step(title, why, [*to_check(run), *asking], details)


def _to_ask_base(run: Run, name: str) -> list[str]:
    """The command that asks the base model about a task's images; none if there is no such model, or it cannot tell."""
    from twelve.runs.early import base_folder  # imports pyarrow, which a mistake need not wait for

    root = DataRoot(run.config.data, run.config.sources)
    images = as_named(run, root.path / IMAGES / root.image_source(run.task(name)))
    with suppress(TwelveError):
        folder = base_folder(run.config)
        fields = {} if folder is None else read_fields(folder / CONFIG_FILE)
        if fields.get("region_recipes") and "answer" in fields["task_outputs"].values():
            base = as_named(run, str(run.config.model.init))
            return [command_line("predict", base, "--image", images, "--ask", "is there a NAME?")]
    return []


def _training_files(run: Run, name: str) -> tuple[str, list[Path], int] | None:
    """The training split of a task of one's own, its files, and how many examples they have (0 if that is not known);
    None for another task, or without files."""
    task, configured = run.task(name), run.config.tasks.get(name)
    if configured is None or not run.can_grow(name):
        return None
    split, root = configured.train or task.train_split, DataRoot(run.config.data, run.config.sources)
    paths = [as_named(run, path) for path in task.input_files(root, split)]
    sizes = run.data.tasks.get(name)
    lines = _lines(paths[0]) if paths and isinstance(task, FileTask) else 0  # in Python, files may have any form
    return (split, paths, lines or (sizes.train + sizes.validation if sizes else 0)) if paths else None


def _lines(path: Path) -> int:
    """The number of lines of a file that are not empty; 0 if it cannot be read."""
    try:
        with path.open(encoding="utf-8") as file:
            return sum(1 for line in file if line.strip())
    except (OSError, ValueError):
        return 0


def on_more(run: Run, scored: Sequence[ScoredTask], title: str, why: str, more: str = "") -> Step:
    """Evaluate on more test examples: one's own can be added to, those of a dataset may be incomplete.

    Args:
        why: a clause.
        more: a sentence for the details.
    """
    tasks = [run.task(each.name) for each in scored]
    own = [task for task in tasks if isinstance(task, FileTask) or foreign(task)]
    root = DataRoot(run.config.data, run.config.sources)
    tables = {task.test_split: origin for task in own if (origin := table_of(run, task.test_split))}
    edited = [task for task in own if task.test_split not in tables]
    paths = [path for task in edited for path in task.input_files(root, task.test_split)]
    files = list(dict.fromkeys(as_named(run, path) for path in paths))
    if not files and not tables:
        return Step(title, f"{why}.", to_check(run), more)
    known = len(own) == 1 and isinstance(own[0], FileTask) and scored[0].score.groups
    many = {split: _about(3 * known / (tested_share(origin) or 1)) for split, origin in tables.items()} if known else {}
    lines = [f"{_about(3 * known) if known else ''}lines to {' and '.join(map(str, files))}"] if files else []
    rows = [f"{many.get(split, '')}{rows_to(origin, split)}" for split, origin in tables.items()]
    how = f"add {' and '.join([*lines, *rows])}"
    again = _trained_on_others(run, tables)
    how += "; the others become training images, so the commands train again" if again else ""
    extract, which = new_images(run, own)
    details = f"{more} Four times as many halve the interval. {_like(files[0]) if files else ''}{which}".lstrip()
    return Step("Add test examples", sentence(why, f"{how}."), [*extract, *(again or to_evaluate(run))], details)


def _trained_on_others(run: Run, tables: Mapping[str, TableOrigin]) -> list[str]:
    """The commands that train the only task again, if some rows that are added to its table become training examples;
    none for others."""
    found = _training_files(run, run.alone) if run.alone is not None else None
    if found is None or run.alone is None or not found[2]:
        return []
    split, _, count = found
    divided = any(split in origin.tables and tested_share(origin) is not None for origin in tables.values())
    return _trained_on_more(run, run.alone, split, count) if divided else []


def new_images(run: Run, tasks: Sequence[Task]) -> tuple[list[str], str]:
    """The commands that extract the regions of new images, for tasks made from tables after those that convert these,
    and a sentence that says so. Every step that adds examples has them, because each may be the only one that is
    followed; images that have regions are skipped."""
    from twelve.regions.store.region_store import RegionStore  # loads pyarrow, which an early error must not wait for

    root = DataRoot(run.config.data, run.config.sources)
    store = RegionStore(as_named(run, run.config.regions_folder), data=as_named(run, root.path))
    converts = converting(run, [task.train_split for task in tasks])
    extracts = [store.command(source) for source in dict.fromkeys(root.image_source(task) for task in tasks)]
    folders = dict.fromkeys(image_folder(run, root, task) for task in tasks)
    commands = [*converts, *extracts]
    first = "first command extracts" if len(commands) == 1 else f"first {len(commands)} commands extract"
    if converts:
        first = f"first {len(commands)} commands convert the table and extract"
    return commands, f"Copy images that are new into {' and '.join(folders)}; the {first} their regions."


def without_regions(run: Run, files: Collection[str]) -> list[str]:
    """The commands that extract the regions of images that were added to files of one's own without them.

    Args:
        files: relative to the data root.
    """
    from twelve.regions.store.region_store import RegionStore  # as above

    if not Path(run.config.data).is_dir():  # the next command says so
        return []
    root, sources = DataRoot(run.config.data, run.config.sources), dict[str, None]()
    store = RegionStore(as_named(run, run.config.regions_folder), data=as_named(run, root.path))
    for task in map(run.task, run.config.tasks):
        for file in {task.train_split, task.test_split}.intersection(files) if isinstance(task, FileTask) else ():
            with suppress(TwelveError, OSError):  # likewise
                if any(image not in store for example in task.read(root, file) for image in example.images):
                    sources[root.image_source(task)] = None
    return [store.command(source) for source in sources]


def image_folder(run: Run, root: DataRoot, task: Task) -> str:
    """Where images of a task are added."""
    origin = table_of(run, task.train_split)
    given = None if origin is None else origin.option("--images")
    return given or str(as_named(run, root.path / IMAGES / root.image_source(task)))


def _like(path: Path) -> str:
    """A sentence with the first line of a file, as an example, unless it is long or cannot be read."""
    try:
        with path.open(encoding="utf-8") as file:
            line = file.readline(LONGEST + 1).strip()
    except (OSError, ValueError):
        return ""
    return f"The first line is {line}. " if 0 < len(line) <= LONGEST else ""
