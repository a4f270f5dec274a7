"""The report's explanations of metrics and baselines, for readers new to them."""

from __future__ import annotations

from collections.abc import Mapping

from twelve.evaluation.recorded import KEPT

METRICS = {
    "recall@1": "Share of the phrases whose best box is right.",
    "recall@5": "Share of the phrases with a right box among the five best.",
    "recall@10": "Share of the phrases with a right box among the ten best.",
    "R@1": "Recall at 1: share of the captions whose own image is ranked first.",
    "R@5": "Recall at 5: share of the captions whose own image is among the first five.",
    "R@10": "Recall at 10: share of the captions whose own image is among the first ten.",
    "consistency": "Share of the groups of related examples that are all right; stricter than accuracy.",
    "median rank": "Median rank of the right one; 1 is best.",
    "mean rank": "Mean rank of the right one; 1 is best.",
    "validity": "Share of the answers of the kind that the question asks for (a colour for a colour question).",
    "plausibility": "Share of the answers that make sense in the real world.",
    "distribution": "Distance between the predicted and the true answers' frequencies; lower is better.",
    "MRR": "Mean reciprocal rank: the mean of 1, 1/2, 1/3, ... for a right one at rank 1, 2, 3, ...",
    "NDCG": "How well the ranking of the options agrees with their relevance to several people; 100 is best.",
    "Q->A": "Share of the questions whose right answer was chosen.",
    "QA->R": "Share of the right answers for which the right reason was chosen.",
    "error": "Share of the examples that are wrong; lower is better.",
}

BASELINES = {
    "majority": "The best constant answer: the most frequent one of the measured split, known with hindsight.",
    "bag of words": "A separate model, trained on the texts of the same examples without any image.",
    "box prior": "The box with the largest area times confidence, whatever the phrase.",
    "trained box prior": "A separate model, trained on the position and size of the right boxes, without phrases and "
    "images.",
    "shuffled images": "This model with every image replaced by another one of the split.",
    "chance": "A choice, or an order, drawn at random.",
}

BASELINE = (
    "A score that is reached without the right image. Only a score significantly above it shows that the model uses "
    "the image."
)
INTERVAL = (
    "The range beside it is the 95 % interval: how much the score would vary with other images of the same kind "
    "(bootstrap over whole images, not single examples)."
)
ADVANTAGE = "The model's score minus the baseline's on the same examples, in points."
BEATEN = "A baseline is beaten if the whole interval of the advantage is above zero: the advantage is significant."
UPPER_BOUND = (
    "The best possible score on this split: of someone who knows the whole scene, or of the best detected box or the "
    "best answer in the vocabulary."
)
CLOSED = "Share of the way from the best baseline (0 %) to the upper bound (100 %)."
LOSS = "What training minimises: the distance from the right outputs. Losses of different tasks are not comparable."
VALIDATION = "The task's score on training images held back for validation; not the official number."
STOPPED = (
    "Stop-and-go: a task whose validation score no longer rises is stopped, and trained only now and then until its "
    "score drops."
)
DRAWN = (
    f"Not hand-picked: the first right and the first wrong ones of {KEPT} examples of the split, drawn at random (all "
    "if there are fewer)."
)


def metric(name: str, own: Mapping[str, str]) -> str:
    """What a metric means; its part after a comma ("accuracy, number") is the subset it was computed on.

    Args:
        own: meanings that take precedence: those of the task's output.
    """
    head, _, part = name.partition(", ")
    base = head.removeprefix("image to text ")
    meaning = own.get(base) or METRICS.get(base)
    if not meaning:
        return "Number of the dataset's own scorer."
    if base != head:
        meaning += " Here in the other direction: captions ranked for each image."
    return f"{meaning} Only examples of the part “{part}”." if part else meaning


def baseline(name: str) -> str:
    """What a baseline is."""
    return BASELINES.get(name, "A score without the right image.")


def minutes(seconds: float) -> str:
    """``75 -> '1 min 15 s'``."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    whole, rest = divmod(round(seconds), 60)
    hours, whole = divmod(whole, 60)
    return f"{hours} h {whole} min" if hours else f"{whole} min {rest} s"
