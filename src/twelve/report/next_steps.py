"""What to do next with a run, from its numbers: steps in words, each with commands that run as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from twelve.evaluation.compared import named
from twelve.evaluation.parts import FEWEST_GROUPS
from twelve.formats.data_root import DataRoot
from twelve.progress import counted, enumerated
from twelve.report import words
from twelve.report.cut_texts import whole_texts
from twelve.report.flawed_lines import corrected
from twelve.report.heading import is_synthetic
from twelve.report.own_task_steps import (
    LONGEST,
    fallen,
    few_learned,
    image_folder,
    little_trained,
    longer_first,
    memorised,
    more_lines,
    on_more,
    overfits,
    too_hard,
    train_longer,
    without_regions,
)
from twelve.report.reading import Run
from twelve.report.rising import rising
from twelve.report.scores import FEW as FEW_IMAGES
from twelve.report.step import (
    Step,
    as_named,
    beside,
    command_line,
    config_of,
    only,
    sentence,
    sibling,
    to_check,
    to_evaluate,
    to_train,
    to_train_again,
)
from twelve.report.verdict import ScoredTask, examples, verdict
from twelve.run_folder import RunFolder
from twelve.tasks.custom import FileTask

UNLEARNED = 2
"""Most tasks at their baseline that are listed one by one."""
LOW = 70
"""Normalised score below which fine-tuning, or more data, is advised."""
WIDE = 10
"""An interval of more points is called wide."""
SMALL = 0.1
"""Share of the official training examples below which a training set is called small."""
LARGER = 4
"""Times as many images that a larger generated world has."""
FINE_TUNING = "configs/finetune.yaml"


def next_steps(run: Run, scored: Sequence[ScoredTask]) -> list[Step]:
    """The steps to take, the most important one first; never none, and none with the commands of another."""
    if not run.finished:
        return list(_unfinished(run))
    stale = _stale(run)
    if run.gone and stale is not None:
        return [stale]
    again = list(_trained_before(run, stale))
    if again and run.other_training.keys() >= run.config.tasks.keys():
        return again  # other steps would follow from numbers about other training examples
    if not scored:
        untold = f"There is no {words.score(run.own)} and no baseline yet."
        return [*again, Step("Evaluate it", untold, to_evaluate(run))]
    if stale is not None:
        return [*again, stale]  # other steps would follow from the scores of another model, or of other examples
    found = dict[tuple[str, ...], Step]()
    for step in [*again, *_all(run, [each for each in scored if each.name not in run.other_training])]:
        same = found.setdefault(tuple(step.commands), step)
        if (step.title, step.why) != (same.title, same.why):
            further = [each for each in re.split(r"(?<=\.) ", step.details) if each not in same.details]
            both = {same.title, step.title} == {"Add training examples", "Add test examples"}
            reason = f"{step.why.partition(': add ')[0].rstrip('.')}." if both else f"{step.title}: {step.why}"
            more = " ".join([same.details, reason, *further]).strip()
            title = "Add training and test examples" if both else same.title  # rows of one table, which is divided
            found[tuple(step.commands)] = replace(same, title=title, details=more)
    return list(found.values())


def _all(run: Run, scored: Sequence[ScoredTask]) -> list[Step]:
    """The steps of an evaluated run; several may have the same commands."""
    trained = [*little_trained(run, scored), *fallen(run, scored)]
    rises = [] if trained or overfits(run, scored) else [*_rising(run, scored)]
    longer = trained or rises or [*train_longer(run, scored)]
    few = [*few_learned(run, scored, longer)]
    first = longer if few and longer_first(run, scored) else trained
    return [
        *_evaluation(run, scored),
        *corrected(run, scored),
        *whole_texts(run, scored),
        *first,
        *few,
        *_undecided(run, scored),
        *_unlearned(run, scored),
        *(rises if first is not rises else ()),
        *_tuned(run, scored),
        *_small(run, scored),
        *_wide(run, scored),
        _tried(run),
    ]


def _tried(run: Run) -> Step:
    """Ask in a browser; if the only task is one's own, with questions and answers, also about a folder of images."""
    page, task = command_line("serve", run.folder), None if run.alone is None else run.task(run.alone)
    asked = next((record.text for record in run.predictions.get(run.alone or "", ()) if record.kind == "answer"), "")
    if not isinstance(task, FileTask) or not 0 < len(asked) <= LONGEST or asked.startswith("-"):
        return Step("Try it", "Opens a local web page where you can ask about images.", [page])
    images = image_folder(run, DataRoot(run.config.data, run.config.sources), task)
    answers = ("--image", images, "--ask", asked, "--task", task.name, "--out", "answers.csv")
    why = (
        "The first command opens a local web page where you can ask about images. The second writes a table of the "
        "answers about all images in a folder."
    )
    return Step("Try it", why, [page, command_line("predict", run.folder, *answers)])


def _unfinished(run: Run) -> Iterator[Step]:
    done, length = run.history.iterations, run.config.training.iterations
    why = f"{done:,} of {length:,} iterations are done." if length else f"{counted(done, 'iteration', 'are')} done."
    if (again := RunFolder(run.folder).diverged()) is not None:
        yield Step(
            "Train it with a lower learning rate", "It stopped because a loss or a weight was not a number.", [again]
        )
        return
    if not done:
        yield Step("Train it", "Nothing has been trained yet.", [command_line("train", config_of(run), "--continue")])
        return
    yield Step("Resume the training", why, [command_line("train", config_of(run), "--continue")])
    if run.model:
        which = "last validated model" if run.config.training.keep_model == "last" else "best model so far"
        yield Step("Evaluate the model so far", f"The {which} is saved.", to_evaluate(run))


def _stale(run: Run) -> Step | None:
    """Evaluate again, where the results are of an earlier model, or of examples or regions that have changed."""
    if run.gone:
        files = enumerated([str(as_named(run, Path(run.config.data, name))) for name in run.gone])
        verb, them = ("is", "it") if len(run.gone) == 1 else ("are", "them")
        why = f"{files} {verb} no longer there: put {them} back, then check and evaluate again."
        return Step(
            f"Put back the test file{'' if len(run.gone) == 1 else 's'}", why, [*to_check(run), *to_evaluate(run)]
        )
    before, said = run.measured_before, list[str]()
    if changed := run.changed_data:
        what = enumerated(changed) if run.changed else changed[0].replace("the", "The", 1)
        said.append(f"{what} {'has' if run.changed and len(changed) == 1 else 'have'} changed since the evaluation.")
    if before is not None:
        said.append(_newer(run, before))
    commands = [*without_regions(run, run.changed), *to_evaluate(run)]
    return Step("Evaluate it again", said[-1], commands, " ".join(said[:-1])) if said else None


def _trained_before(run: Run, stale: Step | None) -> Iterator[Step]:
    """Train again, where files of one's own have changed since they were trained on."""
    files = list(dict.fromkeys(run.other_training.values()))
    commands = to_train_again(run, "retrained", *only(run, run.other_training)) if files else []
    if commands:
        commands = [*without_regions(run, [*files, *run.changed]), *commands]
        why = f"{enumerated(files)} {'has' if len(files) == 1 else 'have'} changed since training."
        yield Step("Train again", why, commands, "" if stale is None else f"{stale.details} {stale.why}".strip())


def _evaluation(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """An evaluation that lacks something."""
    since = run.facts.get("iterations")
    without = [each.title for each in scored if not each.score.baselines]
    if without:
        why = f"Without baselines ({', '.join(without)}), nothing shows that it uses the images."
        yield Step("Measure the baselines", why, to_evaluate(run))
    elif since is None:
        why = "These results come from an earlier version, which did not measure the parts of a task."
        yield Step("Evaluate it again", why, to_evaluate(run))


def _newer(run: Run, since: int) -> str:
    """Why results that were measured after ``since`` iterations are not those of the model that is kept now."""
    done, now = run.history.iterations, run.kept
    if now is None:
        return f"These results were measured after {counted(since, 'iteration')}; {done:,} are done now."
    better = "" if now.last else ", which is better on the validation images,"
    return (
        f"These results were measured after {counted(since, 'iteration')}; {done:,} are done now, and the model of "
        f"iteration {now.iteration:,}{better} has replaced the measured one."
    )


def _undecided(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """Scores above every baseline, of too few examples to tell whether by chance."""
    found = [each for each in scored if each.score.undecided and each.score.groups >= FEWEST_GROUPS]
    if found:
        each, best = found[0], found[0].score.best_unbeaten
        assert best is not None
        others = f"The same is true of {', '.join(other.title for other in found[1:])}." if len(found) > 1 else ""
        why = (
            f"{examples(each)} are too few to tell whether {each.score.bar.value:.1f} is better than "
            f"{named(best.name, best.bar.value)}"
        )
        yield on_more(run, found, "Evaluate on more examples", why, others)


def _unlearned(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """Tasks that are not above a baseline: add training examples if few, change the question or the base model, train
    them alone, or check their data."""
    tried = [each for each in scored if each.score.groups >= FEWEST_GROUPS]
    below = [each for each in tried if each.score.unbeaten and not each.score.undecided and not each.score.no_room]
    said = verdict(run, scored).sentence
    for each in below[:UNLEARNED]:
        best = each.score.best_unbeaten
        assert best is not None
        why = "" if best.compared in said else f"Its score of {each.score.bar.value:.1f} is {best.compared}"
        why = (known := memorised(run, each)) or why
        alone = None
        if len(run.config.tasks) > 1:
            alone = to_train(config_of(run), f"tasks=[{each.name}]", beside(run, each.name))
        few = too_hard(run, each) or more_lines(run, each, why)
        if few is not None:
            yield few
        elif alone is None:
            then = "check its files and its regions."
            if not known:
                then = "check its files, its regions, and whether its loss falls (the curve is below)."
            yield Step(f"Check the data of {each.title}", sentence(why, then), to_check(run))
        else:
            then = "if it learns alone, it needs more iterations here; if not, check its regions and labels."
            yield Step(f"Train {each.title} alone", sentence(why, then), [alone])


def _rising(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """Validation scores that still rise at the end: train longer."""
    history, found = run.history, rising(run)
    if found is None or found.mean < found.least:
        return
    many = f"training.iterations={2 * history.iterations}"
    place = () if run.checkpoints else (beside(run, "longer"),)
    command = to_train(config_of(run), many, *place)
    if command is not None:
        command += " --continue" if run.checkpoints else ""
        spent = words.about(history.seconds * (1 if run.checkpoints else 2))
        said = "" if found.sentence in verdict(run, scored).sentence else found.sentence
        rise = "the validation score rose" if found.tasks == 1 else "validation scores rose, on average,"
        why = (
            f"Over {found.span}, {rise} by {100 * found.mean:.1f} points; twice the iterations take about {spent}"
            f"{' more' if run.checkpoints else ''}."
        )
        yield Step("Train longer", why, [command], said)


def _tuned(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """The weakest task that is learned: fine-tune it from this model."""
    known = [(each.score.normalised, each) for each in scored if each.score.normalised is not None]
    known = [(place, each) for place, each in known if each.score.beats_all and each.name in run.config.tasks]
    if len(run.config.tasks) < 2 or not known:
        return
    place, each = min(known, key=lambda pair: pair[0])
    if place >= LOW or not run.model:
        return
    command = to_train(FINE_TUNING, f"init={run.folder}", f"tasks=[{each.name}]", beside(run, f"{each.name}-tuned"))
    if command is not None:
        why = (
            f"Of the learned tasks it has the lowest normalised score, {place:.0f} of 100; the file {FINE_TUNING} is "
            "shipped with twelve."
        )
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
        data = as_named(run, run.config.data)
        settings = (
            f"microworld.scale={scale:g}",
            f"data={sibling(data, 'larger')}",
            "regions=null",
            beside(run, "larger"),
        )
        command = to_train(config_of(run), *settings)
        if command is not None:
            few_examples = f"{run.task(least).title} has {sizes[least]:,} training examples"
            why = f"{few_examples}: generate {LARGER} times as many images."
            yield Step("Train on more examples", why, [command.replace("twelve train", "twelve quickstart", 1)])
        return
    few = {name: share for name in sizes if (share := _share(run, name, sizes[name])) is not None and share < SMALL}
    if few:
        told = [
            f"{run.task(name).title} {sizes[name]:,} ({share:.1%} of the official ones)" for name, share in few.items()
        ]
        why = f"Training examples: {', '.join(told)}."
        how = "The command lists official files that are missing or incomplete."
        yield Step("Get more examples", why, to_check(run), how)


def _share(run: Run, name: str, size: int) -> float | None:
    """The training examples as a share of those in the official files, if their number is known."""
    task = run.task(name)
    settings = run.config.tasks.get(name)
    split = (settings.train if settings else None) or task.train_split
    official = task.official_counts.get(split, (None, None))[0]
    return size / official if official else None


def _wide(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """Scores of too few examples to compare."""
    few = [each for each in scored if each.score.groups < FEWEST_GROUPS]
    if few:
        titles = ", ".join(each.title for each in few)
        why = f"With fewer than {FEWEST_GROUPS} images, no interval of {titles} can be trusted"
        yield on_more(run, few, "Evaluate on more images", why)
        return
    # Of an undecided one, this is said already.
    least = 0 if len(scored) == 1 and scored[0].score.groups < FEW_IMAGES else WIDE  # the verdict says so
    wide = [each for each in scored if _width(each) > least and not each.score.undecided]
    if wide and not is_synthetic(run):
        worst = max(wide, key=_width)
        bar = worst.score.bar
        ends = f"{bar.low:.1f} to {bar.high:.1f}"
        why = (
            f"On {len(wide)} of {len(scored)} tasks, the 95% interval is more than {WIDE} points wide (widest: "
            f"{worst.title}, {ends})"
        )
        if len(scored) == 1:
            why = f"The 95% interval is {ends}"
        chance = "Other scores in this range may differ by chance alone."
        yield on_more(run, [worst], "Evaluate on more examples", why, chance)


def _width(each: ScoredTask) -> float:
    bar = each.score.bar
    return 0.0 if bar.low is None or bar.high is None else bar.high - bar.low
