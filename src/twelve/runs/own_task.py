"""``twelve data table``: a task of one's own from a table (CSV) and a folder of images, complete up to the command that
trains it."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from twelve.data import table_origin
from twelve.data.clean import split_validation
from twelve.data.own_files import FEW, correcting, too_few, warnings_of, with_counts
from twelve.data.own_table import (
    KINDS,
    ExampleRow,
    check_answers,
    check_apart,
    check_names,
    contents,
    divided,
    read_table,
)
from twelve.data.table_origin import TableOrigin, link_or_copy, some
from twelve.errors import ConfigError, RegionError, nearest, quoted
from twelve.evaluation.parts import FEWEST_GROUPS
from twelve.formats.content_digest import content_digest
from twelve.formats.data_root import IMAGES, DataRoot, image_key
from twelve.io.files import check_folder, check_idle, free, replacing, restore
from twelve.model.processor_file import recipes_of
from twelve.progress import Track, counted
from twelve.run_folder import model_folder
from twelve.settings import TaskSettings
from twelve.tasks.base import Task
from twelve.tasks.custom import own_tasks

FRACTION = 0.5
"""Share of the images that are tested on, unless another is named."""
_TRAIN, _TEST = "train.jsonl", "test.jsonl"
_VALIDATED = 0.2
"""Share of the training images that are held out for validation."""
_DIVIDING = ("--test", "--test-fraction", "--seed")
"""Options that say which images are tested on."""
_SMALLER = (0.45, 0.4, 0.35, 0.3, 0.25, 0.2)
"""Smaller shares that leave more rows for training; the first that suffices is advised."""
_MINE, _PLANNED = "mine", 60
"""Name of a task whose folder has no name for one; training examples that are advised (docs/tutorial.md)."""
PER_EXAMPLE, _LEAST = 5, 300
"""Iterations for each line of training examples, and fewest (docs/tutorial.md, More images)."""


@dataclass(frozen=True, slots=True)
class OwnTask:
    """What was written.

    Attributes:
        out: the data root.
        told: what the table holds, in lines.
        commands: to train, evaluate and use the task, in order.
    """

    out: Path
    told: Sequence[str]
    commands: Sequence[str]

    def __str__(self) -> str:
        return "\n".join([f"wrote {self.out}", *self.told, "next:", *(f"  {line}" for line in self.commands)])


def make(
    table: Path,
    images: Path,
    init: Path,
    out: Path,
    *,
    name: str | None = None,
    kind: str = "answer",
    columns: Mapping[str, str | None] | None = None,
    test: Path | None = None,
    fraction: float | None = None,
    seed: int = 0,
    update: bool = False,
) -> OwnTask:
    """Write a data root with the images, the examples and the configuration of a task.

    Args:
        table: a row for each example (:func:`twelve.data.own_table.read_table`).
        images: the folder of its images.
        init: the model to start from, or its run.
        out: the folder to write, which is new or empty, unless ``update``.
        name: of the task; None: the name of the folder ``out``, or ``mine`` if no task can have that name.
        kind: ``answer``, ``entailment`` or ``retrieval``.
        columns: "text", "image", "target" -> the column, where the table calls it otherwise.
        test: a second table, to test on; None: a share of the images of ``table``.
        fraction: this share, 0..1; None: :data:`FRACTION`.
        seed: chooses these images.
        update: replace the files that an earlier call made in ``out``; all others stay, and so do images that are the
            same.

    Raises:
        TwelveError: a table, a row, an image, the model or the name is wrong, or ``out`` cannot be written, or
            ``update`` would replace a file that no earlier call made, or that has been changed since, or an image that
            has regions; nothing is written then.
    """
    if kind not in KINDS:
        remedy = f"choose among {', '.join(KINDS)}; for others, see docs/add-a-task.md"
        raise ConfigError(f"unknown --kind {kind!r}{nearest(kind, KINDS)}", remedy=remedy)
    if test is not None and fraction is not None:
        raise ConfigError("expected --test or --test-fraction, found both", remedy="leave one out")
    origin = _check_out(out, images, update)
    options: dict[str, object] = {"--name": name, "--kind": kind if kind != "answer" else None, "--test": test}
    options |= {f"--{field}-column": column for field, column in (columns or {}).items()}
    options |= {"--test-fraction": fraction, "--seed": seed or None}
    command = _command(table, images, init, out, options)
    name, named = (name, []) if name is not None else _name(out, kind)
    task = _task(name, kind)
    recipes = recipes_of(model_folder(init))
    digests = {str(each): content_digest(each).hex() for each in (table, test) if each is not None and each.is_file()}
    rows, called = read_table(table, images, kind, columns or {})
    if test is None:
        check_names(rows, table)
        train, tested = divided(
            rows, FRACTION if fraction is None else fraction, seed, table, _sides(origin, options, name)
        )
    else:
        train, (tested, _) = rows, read_table(test, images, kind, columns or {})
        check_names([*train, *tested], test)
        check_apart(train, tested, table, test)
    check_answers(rows, table)
    kept = set[str]() if origin is None else _unchanged(origin, out, name, [*train, *tested])
    run = free(Path("runs") / name)
    with replacing(out) as partial:
        check_idle(out)
        _write(partial, name, train, tested, out, kept)
        configuration = _configuration(out, run, init, name, kind, len(train))
        (partial / f"{name}.yaml").write_text(configuration, encoding="utf-8")
        tables = {_TRAIN: str(table), _TEST: str(test or table)}
        removed = {} if origin is None else _removed(origin, out, name, [*train, *tested])
        table_origin.write(
            partial, command, tables, {f"{IMAGES}/{name}/{row.name}" for row in tested}, removed, digests
        )
        root = DataRoot(partial, own_tasks={name: task})
        examples = {split: task.read(root, split) for split in (_TRAIN, _TEST)}
        warnings = [f"{each}; {_more(rows, seed, table, test)}" for each in too_few({name: len(train)})]
        for split in examples:
            warnings += warnings_of(task, root, split, examples[split], examples[_TRAIN])
        how = correcting(task, root) if warnings else []
        if origin is not None:
            origin.keep_others(out, partial)
    validated = len(split_validation({name: examples[_TRAIN]}, _VALIDATED, 0, counted=[name])[name][1])
    told = [
        *named,
        f"columns: {', '.join(f'{field} is {column}' for field, column in called.items())}",
        _told(_TRAIN, train, f"; {len(train) - validated:,} to train on, {validated:,} for validation"),
        _told(_TEST, tested),
        *_uncalibrated(validated, len(train)),
        *_moved(origin, tested),
        *(f"warning: {warning}" for warning in warnings),
        *how,
    ]
    return OwnTask(out, told, [*_commands(out, name, run, kind, tested, recipes)])


def _commands(
    out: Path, name: str, run: Path, kind: str, tested: Sequence[ExampleRow], recipes: Mapping[str, str]
) -> Iterator[str]:
    """The commands of :attr:`OwnTask.commands`; ``recipes``: those of the model's regions (none: not known)."""
    from twelve.regions.store.region_store import RegionStore  # imports torch, which a mistake need not wait for

    configuration = out / f"{name}.yaml"
    if recipes:
        yield RegionStore(out / "regions", data=out, recipes=recipes).command(name)
    else:
        yield f"extract regions into {quoted(out / 'regions')} in the same way as the model's regions (docs/regions.md)"
    yield f"twelve data check {quoted(out)} --config {quoted(configuration)}"
    yield f"twelve train {quoted(configuration)}"
    yield f"twelve evaluate {quoted(run)}"
    yield f"twelve report {quoted(run)}"
    if recipes:
        yield from _to_ask(run, out / IMAGES / name, kind, tested)


def _uncalibrated(validated: int, count: int) -> list[str]:
    """A line about training rows that leave too few for validation to calibrate the confidence."""
    from twelve.evaluation.calibration import FEWEST_EXAMPLES  # imports torch, as above

    if validated >= FEWEST_EXAMPLES:
        return []
    needs = f"{FEWEST_EXAMPLES} validation examples, of about {FEWEST_EXAMPLES / _VALIDATED:.0f} in {_TRAIN}"
    return [f"confidence will not be calibrated: this needs {needs}; the table gives {validated} of {count:,}"]


def _name(out: Path, kind: str) -> tuple[str, list[str]]:
    """The name of a task in a folder, and a line about it if it is not the folder's."""
    with suppress(ConfigError):
        _task(out.name, kind)
        return out.name, []
    said = f"{out.name!r} is not a valid task name, so the task is called {_MINE}"
    return _MINE, [f"{said}; --name sets another name"]


def _more(rows: Sequence[ExampleRow], seed: int, table: Path, test: Path | None) -> str:
    """What to do about few training rows: test on fewer images, if enough of both are left then, and add rows."""
    plan = f"plan for {_PLANNED} training examples (docs/tutorial.md, “More images”)"
    for fraction in () if test is not None else _SMALLER:
        train, tested = divided(rows, fraction, seed, table)
        if len(train) >= FEW and len({row.image for row in tested}) >= FEWEST_GROUPS:
            left = f"{len(train):,} for training and validation, {len(tested):,} for the test"
            return f"--test-fraction {fraction} leaves {left}; or, better, add rows: {plan}"
    return f"add rows: {plan}"


def _to_ask(run: Path, images: Path, kind: str, tested: Sequence[ExampleRow]) -> Iterator[str]:
    """The command that asks the trained model what the first test row asks that a shell can pass on; if there is
    one."""
    row = next((row for row in tested if row.text.isprintable() and not row.text.startswith("-")), None)
    if row is None:
        return
    image = f"twelve predict {quoted(run)} --image {quoted(images / row.name)}"
    if kind == "retrieval":
        yield f"twelve match {quoted(run)} {quoted(row.text)} --images {quoted(images)}"
    else:
        yield f"{image} --ask {quoted(row.text)}" if kind == "answer" else f"{image} --entails {quoted(row.text)}"


def _task(name: str, kind: str) -> Task:
    """The task; raises ConfigError if it cannot have this name."""
    settings = TaskSettings(kind=kind, train=_TRAIN, test_split=_TEST, images=name)
    try:
        return own_tasks({name: settings})[name]
    except ConfigError as error:
        raise ConfigError(error.problem, record="--name", remedy="choose another, such as --name mine") from None


def _command(table: Path, images: Path, init: Path, out: Path, options: Mapping[str, object]) -> list[str]:
    """The words of the command that converts the table again."""
    values = {"--images": images, "--init": init, "--out": out, **options}
    given = [str(word) for option, value in values.items() if value is not None for word in (option, value)]
    return ["twelve", "data", "table", str(table), *given, "--update"]


def _sides(
    origin: TableOrigin | None, options: Mapping[str, object], name: str
) -> Callable[[str, str], bool | None] | None:
    """Which images of an earlier call, by id and digest, were test images: they stay training or test images, so that
    its runs can be evaluated again. None if the table is to be divided in another way."""
    chosen = {option: None if (value := options[option]) is None else str(value) for option in _DIVIDING}
    if origin is None or any(origin.option(option) != chosen[option] for option in _DIVIDING):
        return None
    sides, by_id = origin.sides, origin.by_id(f"{IMAGES}/{name}", origin.files)

    def was_tested(image: str, digest: str) -> bool | None:
        earlier = by_id.get(image_key(image))  # with another content
        return sides.get(digest, None if earlier is None else sides[earlier])

    return was_tested


def _moved(origin: TableOrigin | None, tested: Sequence[ExampleRow]) -> Iterator[str]:
    """A warning if training images of an earlier call are test images now, because the table is divided otherwise."""
    sides = {} if origin is None else origin.sides
    if count := sum(sides.get(digest.hex()) is False for digest in set(contents(tested).values())):
        moved = f"{counted(count, 'test image', 'were')} {'training images' if count > 1 else 'a training image'}"
        yield f"warning: {moved} before: train again before you evaluate, because earlier models may know them"


def _unchanged(origin: TableOrigin, out: Path, name: str, rows: Sequence[ExampleRow]) -> set[str]:
    """Names of the images that an earlier call has written as they are now.

    Raises:
        ConfigError: others have the ids of earlier images with regions, which would be taken for theirs.
    """
    of, regions, place = contents(rows), out / "regions" / name, f"{IMAGES}/{name}"
    digests = {row.name: of[row.image].hex() for row in rows}
    if regions.is_dir() and any(regions.iterdir()):
        known = {**origin.by_id(place, origin.removed), **origin.by_id(place, origin.files)}
        changed = [each for each, digest in digests.items() if known.get(image_key(each), digest) != digest]
        stored = _stored(out, name)
        unknown = [each for each in digests if image_key(each) in stored - known.keys()]
        if changed or unknown:
            are = f"{counted(len(changed), 'image', 'have')} changed, and the regions are those of the earlier ones"
            if not changed:
                are = f"{counted(len(unknown), 'new image', 'have')} regions already, perhaps of other images"
            names = "give these images new names, also in the table (another ending, such as .png, does not suffice)"
            remedy = f"{names}, or delete the regions: rm -r {quoted(regions)}"
            raise ConfigError(f"{are}: {some(changed or unknown)}", file=out, remedy=remedy)
    written = out / IMAGES / name
    before = {each for each, digest in digests.items() if origin.files.get(f"{place}/{each}") == digest}
    return {each for each in before if (written / each).is_file()}


def _stored(out: Path, name: str) -> set[str]:
    """Keys of the images that have regions; none if the regions cannot be read, and so not be taken for any image's."""
    from twelve.regions.store.region_store import RegionStore  # imports torch, as above

    with suppress(RegionError):
        return {each.removeprefix(f"{name}/") for each in RegionStore(out / "regions").ids(name)}
    return set()


def _removed(origin: TableOrigin, out: Path, name: str, rows: Sequence[ExampleRow]) -> dict[str, str]:
    """Files and digests of the images of earlier calls that this one does not write, while there may be regions of
    them."""
    ids = {(f"{IMAGES}/{name}", image_key(row.name)) for row in rows}
    earlier = {**origin.removed, **{file: of for file, of in origin.files.items() if file.startswith(f"{IMAGES}/")}}
    return {
        file: of
        for file, of in earlier.items()
        if (os.path.dirname(file), image_key(file)) not in ids and (out / "regions" / Path(file).parent.name).is_dir()
    }


def _check_out(out: Path, images: Path, update: bool) -> TableOrigin | None:
    """Raise TwelveError if the folder cannot be written, or holds anything that is not to be updated; returns what
    is."""
    if not out.name or out.name == ".." or not str(out).isprintable():
        raise ConfigError("expected the name of a new folder", file=out, remedy="name one: --out mine")
    check_folder(out)
    restore(out)
    origin = table_origin.read(out)
    if update and origin is None:
        full = out.is_dir() and any(out.iterdir())
        remedy = f"leave out --update{f', and name a new folder: --out {quoted(free(out))}' if full else ''}"
        raise ConfigError("there is no data of an earlier twelve data table", file=out, remedy=remedy)
    if update and origin is not None:
        _check_update(out, images)
        origin.check(out)
        return origin
    if out.is_dir() and any(out.iterdir()):
        another = f"--out {quoted(free(out))}"
        ours = f"add --update to replace the data that this command made there, or name another: {another}"
        remedy = f"name a new one: {another}" if origin is None else ours
        raise ConfigError("this folder is not empty", file=out, remedy=remedy)
    return None


def _check_update(out: Path, images: Path) -> None:
    """Raise ConfigError if replacing the folder would take away what the command needs, or where it runs."""
    if Path.cwd().is_relative_to(out.resolve()):
        remedy = f"leave it (cd {quoted(out.resolve().parent)}), and name the files from there"
        raise ConfigError("is the folder that you are in, which will be replaced", file=out, remedy=remedy)
    if images.resolve().is_relative_to(out.resolve() / IMAGES):
        remedy = f"copy them (cp -r {quoted(images)} {quoted(free(out.with_name('photos')))}), and name the copy"
        raise ConfigError("expected a folder of your own images, found their copies", file=images, remedy=remedy)


def _first_line(configuration: Path) -> str:
    return f"# twelve train {quoted(configuration)}"


def _write(
    folder: Path,
    name: str,
    train: Sequence[ExampleRow],
    test: Sequence[ExampleRow],
    before: Path,
    kept: Collection[str],
) -> None:
    """The images, and a file of JSON lines for each split.

    Args:
        before: the data root that this one replaces.
        kept: images that stay the files that they are there, so that they are not newer than their regions.
    """
    files = {row.name: row.image for row in (*train, *test)}
    (folder / IMAGES / name).mkdir(parents=True)
    with Track("copying images", len(files), "images") as track:
        for new, image in files.items():
            inside = Path(IMAGES, name, new)
            if new in kept:
                link_or_copy(before / inside, folder / inside)
            else:
                shutil.copyfile(image, folder / inside)
            track.advance()
    for split, rows in ((_TRAIN, train), (_TEST, test)):
        with open(folder / split, "w", encoding="utf-8") as stream:
            for row in rows:
                line = {"id": row.line, "text": row.text, "image": row.name, "target": row.target}
                stream.write(json.dumps({key: value for key, value in line.items() if value is not None}) + "\n")


def _configuration(out: Path, run: Path, init: Path, name: str, kind: str, examples: int) -> str:
    iterations = max(_LEAST, -(-PER_EXAMPLE * examples // 100) * 100)
    return f"""\
{_first_line(out / f"{name}.yaml")}
run: {_scalar(run)}
data: {_scalar(out)}
model: {{init: {_scalar(init)}}}
tasks:
  {_scalar(name)}:
    kind: {kind}
    train: {_TRAIN}
    test_split: {_TEST}
    images: {_scalar(name)}
    batch_size: 5
    learning_rate: 1e-4
val_fraction: {_VALIDATED}                # hold out {_VALIDATED:.0%} of the training images for validation
vocabulary: {{min_count: 1}}       # keep answers that occur once
schedule: {{name: always-go}}
training: {{iterations: {iterations}, eval_every: {iterations // 10}, save_every: {iterations // 3}, keep_model: last}}
"""


def _scalar(text: str | Path) -> str:
    """A name or a path in YAML, in quotes where it needs them."""
    return yaml.safe_dump([str(text)], default_flow_style=True, allow_unicode=True, width=1 << 20).strip()[1:-1]


def _told(split: str, rows: Sequence[ExampleRow], parts: str = "") -> str:
    answers = Counter(row.target for row in rows if row.target is not None)
    of = counted(len({row.image for row in rows}), "image")
    counts = f": {with_counts(answers)}" if answers else ""
    return f"{split}: {counted(len(rows), 'example')} of {of}{counts}{parts}"
