"""The report's explanations of metrics and baselines, for readers new to them."""

from __future__ import annotations

from collections.abc import Mapping

from twelve.evaluation.recorded import KEPT

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

BASELINE = (
    "A score that can be reached without the correct image. Only a significantly higher score shows that the model "
    "uses the image."
)
INTERVAL = (
    "The range next to it is the 95 % interval: how much the score would vary with other images of the same kind "
    "(bootstrap over whole images, not single examples)."
)
ADVANTAGE = "The model's score minus the baseline's on the same examples, in points."
BEATEN = "A baseline is beaten if the whole interval of the advantage is above zero: the advantage is significant."
UPPER_BOUND = (
    "The best possible score on this split, from full knowledge of the scene, the best detected box, or the best "
    "answer in the vocabulary."
)
CLOSED = "Position of the score between the best baseline (0 %) and the upper bound (100 %)."
LOSS = (
    "The quantity that training minimises: the distance to the correct outputs. Losses of different tasks are not "
    "comparable."
)
VALIDATION = "The score of the task on training images that are held out for validation; not the official number."
STOPPED = (
    "Stop-and-go: a task whose validation score no longer rises is stopped. It is then trained only occasionally, "
    "until its score drops."
)
DRAWN = (
    f"Not hand-picked: the first correct and the first wrong predictions among {KEPT} random examples of the split (or "
    "all, if there are fewer)."
)


def metric(name: str, own: Mapping[str, str]) -> str:
    """The meaning of a metric. A part after a comma ("accuracy, number") is the subset that it was computed on.

    Args:
        own: meanings of the task's output, which take precedence.
    """
    head, _, part = name.partition(", ")
    base = head.removeprefix("image to text ")
    meaning = own.get(base) or METRICS.get(base)
    if not meaning:
        return "A number of the official scorer of the dataset."
    if base != head:
        meaning += " Here in the other direction: captions are ranked for each image."
    return f"{meaning} Computed on the subset “{part}”." if part else meaning


def baseline(name: str) -> str:
    """The meaning of a baseline."""
    return BASELINES.get(name, "A score without the correct image.")


def minutes(seconds: float) -> str:
    """``75 -> '1 min 15 s'``."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    whole, rest = divmod(round(seconds), 60)
    hours, whole = divmod(whole, 60)
    return f"{hours} h {whole} min" if hours else f"{whole} min {rest} s"
