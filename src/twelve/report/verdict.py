"""The first sentence of a report: is the model good? In words and numbers, for a finished run and for others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from twelve.evaluation.compared import BETTER, GUESS, NOT_SHOWN, UNDECIDED, WORSE, guess, named
from twelve.evaluation.parts import FEWEST_GROUPS
from twelve.progress import counted, enumerated
from twelve.report import words
from twelve.report.one_answer import one_answer
from twelve.report.reading import Run
from twelve.report.reliability import misjudged
from twelve.report.rising import rising
from twelve.report.scores import FEW as FEW_IMAGES
from twelve.report.scores import LEAST, TaskScore
from twelve.report.weak import weak

GOOD = 50
"""Mean normalised score from which a run whose tasks are all learned is called good."""
SCALE = "0: best baseline, 100: best possible"
"""The scale of the normalised score."""
FEW = 2
"""Most tasks that are named where nothing can be told of them, or compared with their baselines one by one."""
_MORE = "More test examples are needed"
"""Said of undecided scores, unless training has not ended, which comes first."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "is it good?".

    Attributes:
        word: the answer in a word or three.
        sentence: the numbers behind it.
        good: True, False, or None where nothing is known yet, or only of few or of known images.
        decided: whether any score could be compared with its baselines.
    """

    word: str
    sentence: str
    good: bool | None
    decided: bool = False


@dataclass(frozen=True, slots=True)
class ScoredTask:
    """An evaluated task: its title and its score."""

    name: str
    title: str
    score: TaskScore


def verdict(run: Run, scored: Sequence[ScoredTask]) -> Verdict:
    """The verdict on a run; ``scored`` are its evaluated tasks."""
    if not scored:
        return _untold(run)
    found, known = _of_scores(run, scored), _known_to_base(run, scored)
    for model, told in (("base model", known), ("model", _trained_on(run, scored))):
        if told:
            word = f"{found.word}, but the {model} knew test images" if found.good else found.word
            good = None if found.good else found.good
            found = replace(found, word=word, sentence=f"{found.sentence} {told}", good=good)
    if (since := run.measured_before) is not None:
        changed = "the model has changed since" if run.kept else f"{run.history.iterations:,} are done now"
        found = replace(found, sentence=f"Measured after {counted(since, 'iteration')}; {changed}. {found.sentence}")
    if run.changed_data:
        found = replace(found, sentence=f"Measured before {enumerated(run.changed_data)} changed. {found.sentence}")
    if files := list(dict.fromkeys(run.other_training.values())):
        found = replace(found, sentence=f"Trained before {enumerated(files)} changed. {found.sentence}")
    if run.gone:
        there = "is no longer there" if len(run.gone) == 1 else "are no longer there"
        found = replace(found, sentence=f"Measured on {enumerated(run.gone)}, which {there}. {found.sentence}")
    if run.finished or not run.history.iterations:
        return found
    sentence = found.sentence.replace(f" {_MORE}.", "")
    return replace(found, word=_unfinished(run), sentence=f"So far: {found.word}. {sentence}", good=None)


def _unfinished(run: Run) -> str:
    """How far a run has come whose training has not ended, in a few words."""
    done, length = run.history.iterations, run.config.training.iterations
    return f"Unfinished: {done:,} of {length:,} iterations" if length else f"Unfinished: {counted(done, 'iteration')}"


def _known_to_base(run: Run, scored: Sequence[ScoredTask]) -> str:
    """What to say of test images that the base model was trained on; "" if there are none."""
    found = run.data.base_images.sentences({each.name: each.title for each in scored})
    said = [found[each.name] for each in scored if each.name in found]
    if len(said) > FEW:
        return f"Test images of {len(said)} tasks were used to train the base model: their scores may be too high."
    return " ".join(f"{each}." for each in said)


def _trained_on(run: Run, scored: Sequence[ScoredTask]) -> str:
    """What to say of tasks of one's own whose test images the model was trained on; "" if there are none."""
    counts = [(each, run.results[each.name].trained_images) for each in scored]
    said = [f"It was trained on {counted(count, 'test image')} of {each.title}." for each, count in counts if count]
    return " ".join([*said, "So its score is not a test score."] if said else [])


def _misjudged(run: Run, scored: Sequence[ScoredTask]) -> str:
    """A sentence on tasks of one's own, often with few validation examples, whose calibrated confidence is far from
    right on the test examples; "" if there are none."""
    found = [(each, misjudged(run.results[each.name])) for each in scored if run.can_grow(each.name)]
    said = [f"{far}{f' on {each.title}' if len(scored) > 1 else ''}" for each, far in found if far]
    return f"On the test examples, its mean confidence is {enumerated(said)}." if said else ""


def _of_scores(run: Run, scored: Sequence[ScoredTask]) -> Verdict:
    """The verdict on evaluated tasks by their scores alone."""
    if not any(each.score.baselines for each in scored):
        low, high = (choose(scored, key=lambda each: each.score.bar.value) for choose in (min, max))
        sentence = (
            f"Scores range from {_scored(low)} to {_scored(high)}. Without baselines, it is not known whether the "
        )
        return Verdict("Not known", f"{sentence}model uses the images. {one_answer(run)}".rstrip(), None)
    failed = any(each.part and not each.beaten for each in weak(run).parts)
    found, still = _compared([each for each in scored if each.score.baselines], failed), rising(run)
    if told := one_answer(run):
        found = replace(found, sentence=f"{found.sentence} {told}")
    if told := _misjudged(run, scored):
        found = replace(found, sentence=f"{found.sentence} {told}")
    if still is None or not still.mostly or not found.decided:
        return found
    word = found.word if still.coarse is not None else f"{found.word}, still improving"
    return replace(found, word=word, sentence=f"{found.sentence} {still.sentence}")


def _untold(run: Run) -> Verdict:
    history, length = run.history, run.config.training.iterations
    if not history.iterations:
        return Verdict("Not trained", "This run has not logged an iteration yet.", None)
    scores = [100 * points[-1][1] for points in history.scores.values()]
    mean = (
        f"the {'mean ' * (len(scores) > 1)}validation score is {sum(scores) / len(scores):.1f}"
        if scores
        else "no task has been validated yet"
    )
    if run.finished:
        done = counted(history.iterations, "iteration", "are")
        sentence = f"{done} done; {mean}. There is no {words.score(run.own)} and no baseline."
        return Verdict("Not evaluated", sentence, None)
    if length is None:
        return Verdict(_unfinished(run), f"{mean[0].upper()}{mean[1:]}.", None)
    left = history.seconds / history.iterations * (length - history.iterations)
    return Verdict(_unfinished(run), f"About {words.about(left)} are left; {mean}.", None)


def _compared(scored: Sequence[ScoredTask], failed: bool) -> Verdict:
    """The verdict on tasks with baselines; ``failed``: a listed part of a task is not better than a baseline."""
    few = [each for each in scored if each.score.groups < FEWEST_GROUPS]
    if len(few) == len(scored):
        sentence = f"Every task was evaluated on fewer than {FEWEST_GROUPS} images: no interval can be trusted."
        return Verdict("Too few examples to tell", sentence, None)
    undecided = [each for each in scored if each not in few and each.score.undecided]
    judged = [each for each in scored if each not in few and each not in undecided]
    below = [each for each in judged if not each.score.beats_all]
    alone = len(scored) == 1
    said = [_above(judged, below, alone), *_normalised(judged)] if judged else [_undecided(undecided)]
    if judged and undecided:
        said[-1] += f"; {UNDECIDED} on too few test examples: {', '.join(map(_unbeaten, undecided))}"
    if few:
        names = ", ".join(each.title for each in few) if len(few) <= FEW else f"{len(few)} other tasks"
        said[-1] += f"; {names}: too few images to tell"
    if undecided:
        said.append(_MORE)
    sentence = f"{'. '.join(said)}."
    if not judged:
        return Verdict(UNDECIDED.capitalize(), sentence, None)
    if below:
        if len(below) == len(judged) and all(each.score.no_room for each in below):
            return Verdict("These test examples cannot tell", f"{sentence} {_no_room(below)}", None)
        word = "Learned in part" if len(below) < len(judged) else "Not learned"
        word += " so far" if len(below) == len(judged) and all(map(_may_be_luck, below)) else ""
        return Verdict(word, sentence, False, decided=True)
    mean = _mean(judged)  # None: how much better a score could be is not known
    good = mean is None or mean >= GOOD
    word = "Learned" if mean is None else "Good" if good else "Learned, but weak"
    parts = ", with weak parts" if good and failed else ""
    if _on_few(judged):  # that it is no accident is all that few images tell
        most = max(each.score.groups for each in judged)
        on = f"{most} test images only" if len(judged) == 1 else f"at most {most} test images a task"
        if all(map(_surely_good, judged)):
            return Verdict(f"Good{parts}, measured on {on}", sentence, True, decided=True)
        return Verdict(f"Above every baseline{parts}, but measured on {on}", sentence, None, decided=True)
    return Verdict(f"{word}{parts}", sentence, good, decided=True)


def _no_room(scored: Sequence[ScoredTask]) -> str:
    """That no model can be much better than the baselines."""
    most = max(each.score.upper_bound.value for each in scored if each.score.upper_bound is not None)
    where = "on these examples" if len(scored) == 1 else "on any of these tasks"
    return f"No model can score more than {most:.1f} {where}."


def _on_few(scored: Sequence[ScoredTask]) -> bool:
    """Whether every score is of so few images that its interval is wide."""
    return all(each.score.groups < FEW_IMAGES for each in scored)


def _surely_good(each: ScoredTask) -> bool:
    """Whether a score on few images leaves next to nothing to gain, and even the low end of its interval is good."""
    score, low = each.score, each.score.bar.low
    best, most = max(baseline.bar.value for baseline in score.baselines), score.bar.value + score.left
    return score.left <= LEAST and low is not None and low - best >= GOOD / 100 * (most - best)


def _may_be_luck(each: ScoredTask) -> bool:
    """Whether a score that is not above its baselines may be so by bad luck: few images do not tell."""
    best = each.score.best_unbeaten
    return each.score.groups < FEW_IMAGES and best is not None and best.standing != WORSE


def _above(scored: Sequence[ScoredTask], below: Sequence[ScoredTask], alone: bool) -> str:
    """Which tasks are better than the baselines.

    Args:
        below: those that are not.
        alone: the model has one task only, which need not be named.
    """
    above = len(scored) - len(below)
    model = "The model" if alone else f"On {scored[0].title}, the model"
    if len(scored) == 1 and below:
        score, best = below[0].score, below[0].score.best_unbeaten
        assert best is not None
        on = f" on {examples(below[0])}" if score.groups < FEW_IMAGES else ""
        why = ""
        if (least := score.small_lead) is not None:
            lead = f"Its lead of {best.advantage.value:.1f} points is less than about a standard error ({least:.1f})"
            why = f". {lead}, so it counts as none; a larger one would be undecided"
        return f"{model} scores {score.bar.value:.1f}{_interval(below[0])}{on}: {best.compared}{why}"
    better = f"{BETTER} than every baseline ({GUESS})"
    if alone and above:
        score, best = scored[0].score, scored[0].score.best_baseline
        assert best is not None
        of = f"{score.bar.value:.1f}{_interval(scored[0])} on {examples(scored[0])}"
        return f"The model scores {of}: {better}. The best one is {named(best.name, best.bar.value)}"
    if not above:
        return f"On none of {len(scored)} tasks is the model {better}"
    if len(scored) > 1:
        model = f"On {f'{above} of' if below else 'all'} {len(scored)} tasks, the model"
    sentence = f"{model} is {better}"
    if len(below) > FEW:
        *names, last = (each.title for each in below)
        return f"{sentence}; not on {', '.join(names)} and {last}"
    return f"{sentence}. {'; '.join(map(_below, below))}" if below else sentence


def _interval(each: ScoredTask) -> str:
    bar = each.score.bar
    return "" if bar.low is None else f" (95% interval {bar.low:.0f} to {bar.high:.0f})"


def _below(each: ScoredTask) -> str:
    best = each.score.best_unbeaten
    assert best is not None
    return f"{each.title} ({each.score.bar.value:.1f}) is {best.compared}"


def _undecided(undecided: Sequence[ScoredTask]) -> str:
    """Scores well above every baseline that may be so by luck."""
    if len(undecided) == 1:
        each, best = undecided[0], undecided[0].score.best_unbeaten
        assert best is not None
        return (
            f"The score of {each.score.bar.value:.1f} on {examples(each)} is above every baseline, but {best.compared}"
        )
    return (
        f"The scores are above every baseline, but on so few test examples {NOT_SHOWN}: "
        f"{', '.join(map(_unbeaten, undecided))}"
    )


def _normalised(scored: Sequence[ScoredTask]) -> Iterator[str]:
    """The normalised scores, if any is known."""
    known = [(each.score.normalised, each) for each in scored if each.score.normalised is not None]
    if len(known) == 1:
        of = "" if len(scored) == 1 else f" of {known[0][1].title}, the only one that is known,"
        yield f"The normalised score{of} is {known[0][0]:.0f} ({SCALE})"
    elif known:
        among = f" of the {len(known)} tasks where it is known" if len(known) < len(scored) else ""
        low, high = min(known, key=lambda each: each[0]), max(known, key=lambda each: each[0])
        yield (
            f"The mean normalised score{among} is {_mean(scored):.0f} ({SCALE}), from {low[0]:.0f} ({low[1].title}) "
            f"to {high[0]:.0f} ({high[1].title})"
        )


def _mean(scored: Sequence[ScoredTask]) -> float | None:
    known = [each.score.normalised for each in scored if each.score.normalised is not None]
    return sum(known) / len(known) if known else None


def examples(each: ScoredTask) -> str:
    """How many examples a score is of, in words."""
    score = each.score
    on = f" on {score.groups:,} images" if score.groups < score.examples else ""
    return f"{score.examples:,} test examples{on}"


def _scored(each: ScoredTask) -> str:
    return f"{each.score.bar.value:.1f} ({each.title})"


def _unbeaten(each: ScoredTask) -> str:
    best = each.score.best_unbeaten
    assert best is not None
    return f"{each.title} ({each.score.bar.value:.1f}; {best.name}, {guess(best.name)}: {best.bar.value:.1f})"
