"""The report's explanations of metrics and baselines, for readers new to them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from twelve.errors import shortened
from twelve.evaluation.compared import MAY_BE_CHANCE, NOT_SHOWN, UNDECIDED, explained
from twelve.evaluation.recorded import KEPT
from twelve.types.measurement import Owner

METRICS = {
    "recall@1": "Share of the phrases whose best box is correct.",
    "recall@5": "Share of the phrases with a correct box among the five best.",
    "recall@10": "Share of the phrases with a correct box among the ten best.",
    "R@1": "Recall at 1: share of the captions whose own image is ranked first.",
    "R@5": "Recall at 5: share of the captions whose own image is among the first five.",
    "R@10": "Recall at 10: share of the captions whose own image is among the first ten.",
    "consistency": "Share of the groups of related examples in which all are correct; stricter than accuracy.",
    "median rank": "Median rank of the correct item; 1 is best.",
    "mean rank": "Mean rank of the correct item; 1 is best.",
    "validity": "Share of the answers that are of the requested kind, such as a colour for a question about a colour.",
    "plausibility": "Share of the answers that make sense in the real world.",
    "distribution": "Distance between the frequencies of predicted and true answers; lower is better.",
    "MRR": "Mean reciprocal rank: the mean of 1, 1/2, 1/3, ... for a correct item at rank 1, 2, 3, ...",
    "NDCG": "How well the ranking of the options agrees with their relevance to several people; 100 is best.",
    "Q->A": "Share of the questions with the correct answer.",
    "QA->R": "Share of the correct answers with the correct reason.",
    "error": "Share of the examples that are wrong; lower is better.",
}

BASELINES = {
    "majority": "The best constant answer: the most frequent one of the evaluated split, known in hindsight only.",
    "bag of words": "A separate model, trained on the texts of the same examples without any image.",
    "box prior": "The box with the largest area times confidence, regardless of the phrase.",
    "trained box prior": "A separate model, trained on the position and size of the correct boxes, without phrases "
    "and images.",
    "shuffled images": "This model, with every image replaced by another one of the split.",
    "chance": "A choice, or an order, drawn at random.",
}

INTERVAL = (
    "The range next to it is the 95% interval: how much the score could change with different images of the same kind. "
    "It is Wilson's interval if the score is the share of correct examples and each image has one example; otherwise "
    "it is from resampling whole images."
)
ONE_SEED = (
    "One training run (one seed): the 95% intervals are over test examples only, and another seed may differ by more."
)
LEAD = "The model's score minus the baseline's on the same examples, in points."
BEATEN = (
    "The model is better than a baseline if the whole interval of the lead is above zero, and worse if all of it "
    f"is below; otherwise, this is {UNDECIDED}: it is {NOT_SHOWN}, {MAY_BE_CHANCE}."
)
UPPER_BOUND = (
    "The best possible score on this split, given full knowledge of the scene, the best detected box, or the best "
    "answer in the vocabulary."
)
NORMALISED = "Where the score lies between the best baseline (0) and the upper bound (100)."
WEAK = (
    "Ordered by the normalised score. On a part, it is 0 at the best baseline there, and 100 at the task's upper "
    "bound. A part is listed only if its whole interval lies below the score of its task"
)
CALIBRATION = (
    "The share of correct predictions among those with about the same confidence. On the diagonal, 70% of the "
    "predictions with a confidence of 70% are correct; below it, the model is too sure."
)
CONFUSIONS = (
    "Rows: the correct answer; columns: the model's. Of tasks with many answers, the most frequent mistakes are "
    "listed, out of all examples with that correct answer."
)
LOSS = (
    "What training minimises: how far the outputs are from the correct ones. Losses of different tasks cannot "
    "be compared."
)
_VALIDATION = "The score of the task on training images that are held out for validation"
VALIDATIONS: Mapping[Owner, str] = {
    "dataset": f"{_VALIDATION}; not the official number.",
    "file": f"{_VALIDATION}; not on your test file.",
    "code": f"{_VALIDATION}; not on the test split.",
}
EASIER = "{}, so it is usually higher than the score."
"""Follows ``the share of``: why a validation score differs from the score of its task."""
OWN_MARKS = "Mean mark of the answers. Your test file sets the marks; 100 means that every answer is correct."
"""The accuracy of a task of one's own whose answers have marks."""
OWN_ANSWERS = "Share of the questions that are answered correctly."
"""The accuracy of a task of one's own whose answers are correct or not."""
STOPPED = (
    "Stop-and-go: a task whose validation score no longer rises is stopped. It is then trained only occasionally, "
    "until its score drops."
)
DRAWN = (
    f"The examples are not hand-picked. {KEPT} examples of the split (or all, if there are fewer) were drawn at "
    "random. The first correct and the first wrong ones are shown, each answer once before any is repeated."
)


_NUMBERS: Mapping[Owner, str] = {
    "dataset": "Computed by the official scorer of the dataset.",
    "file": "Computed on your test file.",
    "code": "Computed by the code of your task.",
}
_METRICS: Mapping[Owner, str] = {
    "dataset": "the official metric of the dataset",
    "file": "the metric on your test file",
    "code": "the metric that the code of your task defines",
}


def metrics(owners: Collection[Owner]) -> str:
    """What a score is, of tasks of these owners: ``The metric on your test file``."""
    told = " or ".join(_METRICS[owner] for owner in _METRICS if owner in owners)
    if len(owners) > 1:
        told = told.replace("of the dataset", "of a dataset").replace(" or ", ", or ")
    return f"{told[:1].upper()}{told[1:]}"


def metric(name: str, own: Mapping[str, str], *, owner: Owner = "dataset") -> str:
    """The meaning of a metric. A part after a comma ("accuracy, number") is the subset that it was computed on.

    Args:
        own: meanings of the task's output, which take precedence.
        owner: whose metric it is.
    """
    head, _, part = name.partition(", ")
    whole, _, gallery = head.removeprefix("image to text ").partition(" of ")
    base = whole if gallery else head.removeprefix("image to text ")
    meaning = own.get(base) or METRICS.get(base)
    if not meaning:
        return _NUMBERS[owner]
    if head.startswith("image to text "):
        meaning += " Here in the other direction: captions are ranked for each image."
    if gallery:
        meaning += f" The gallery has {gallery} images, unlike that of published numbers."
    return f"{meaning} Computed on the subset “{part}”." if part else meaning


_PARTS = {
    "words": "texts of {} words",
    "opening": "texts that begin with “{}”",
    "candidates": "choices among {} boxes",
    "target": "answer “{}”",
}
_NAMED = {
    ("opening", "other"): "texts with rare beginnings",
    ("colour", "none"): "texts that name no colour",
    ("colour", "several"): "texts that name several colours",
    ("count", "none"): "texts without a number",
    ("count", "a number"): "texts with a number",
    ("count", "how many"): "questions “how many”",
    ("wording", "seen"): "texts in wordings of the training set",
    ("wording", "unseen"): "texts in wordings that the training set lacks",
    ("combination", "unseen"): "texts with a combination of colour and kind that no training image has",
    ("combination", "seen"): "texts without an unseen combination of colour and kind",
    ("semantic", "rel"): "questions about relations",
    ("semantic", "attr"): "questions about attributes",
    ("semantic", "obj"): "questions whether an object is there",
    ("semantic", "cat"): "questions about kinds of objects",
    ("semantic", "global"): "questions about the whole scene",
    ("structural", "query"): "open questions",
    ("structural", "verify"): "yes-or-no questions",
    ("structural", "choose"): "questions with two choices",
    ("structural", "logical"): "questions with “and” or “or”",
    ("structural", "compare"): "questions that compare objects",
}


def part(kind: str, value: str) -> str:
    """A kind of example (evaluation/kinds.py) in words: ``question_type, "how many" -> question type “how many”``."""
    value = shortened(value, 60)
    if (kind, value) in _NAMED:
        return _NAMED[kind, value]
    if kind == "colour":
        return f"texts that name “{value}”"
    span = value.replace("-", " to ").replace("+", " or more") if kind in ("words", "candidates") else value
    return _PARTS.get(kind, shortened(kind.replace("_", " "), 40) + " “{}”").replace("{}", span)


def with_answer(asked: str, answer: str) -> str:
    """The examples with a correct answer, in words: ``questions whose correct answer is “no”``."""
    return f"{asked} whose correct answer is “{shortened(answer, 40)}”"


def score(own: bool) -> str:
    """What an evaluation finds, in words; ``own``: whether a task is none of a dataset."""
    return "test score" if own else "official score"


def baseline(name: str, answers: int | None = None, drawn_from: int | None = None) -> str:
    """The meaning of a baseline.

    Args:
        answers: number of the answers that the model chooses among, if it chooses among a list of them.
        drawn_from: see :class:`twelve.evaluation.results.Baseline`.
    """
    if drawn_from is not None:
        only = f"one of the {drawn_from:,} answers" if drawn_from > 1 else "the only answer"
        return f"An answer drawn at random: {only} of the task's own training examples."
    if name == "chance" and answers:
        return f"An answer drawn at random: 1 of the model's {answers:,} answers."
    return BASELINES.get(name, "A score without the correct image.")


def guesses(names: Iterable[str]) -> str:
    """What baselines are, and these do, each once."""
    told = "; ".join(f"{name}: {explained(name)}" for name in dict.fromkeys(names))
    return (
        "A baseline does not see the correct image. Only a score above it shows that the model uses the image. "
        f"{told[:1].upper()}{told[1:]}."
    )


def legend(text: str, uncalibrated: str) -> str:
    """What the bars of a task's examples are, and that they are no probabilities where confidence is not calibrated.

    Args:
        text: that of the task's output.
        uncalibrated: why it is not (``TaskResult.uncalibrated``), or "".
    """
    if not uncalibrated or "Bars:" not in text:
        return text
    why = uncalibrated.removeprefix("not calibrated").removeprefix(": ")
    return (
        f"{text} Not calibrated{f' ({why})' if why else ''}: compare these percentages with each other, do not read "
        "them as probabilities."
    )


def rate(value: float) -> str:
    """A learning rate as configurations write it: ``0.0004 -> 4e-4``."""
    digits, _, power = f"{value:.3e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def whole(text: str) -> str:
    """A text as HTML in which no line breaks within a number such as 1e-4."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"\b\d[\d.]*e-\d+\b", r'<span class="whole">\g<0></span>', str(escape(text))))


def epochs(count: float) -> str:
    """``3.61 -> 3.6 epochs``; ``21.4 -> 21 epochs``."""
    told = f"{count:,.0f}" if count >= 10 else f"{count:.1f}".removesuffix(".0")
    return f"{told} epoch{'' if told == '1' else 's'}"


def about(seconds: float) -> str:
    """:func:`minutes`, for an estimate: in whole minutes, below one in whole seconds."""
    return f"{max(1.0, seconds):.0f} s" if seconds < 60 else minutes(60 * round(seconds / 60)).removesuffix(" 0 s")


def minutes(seconds: float) -> str:
    """``75 -> '1 min 15 s'``."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    whole, rest = divmod(round(seconds), 60)
    hours, whole = divmod(whole, 60)
    return f"{hours} h {whole} min" if hours else f"{whole} min {rest} s"
