"""What the report says in words: the meaning of metrics and baselines, for a reader new to them."""

from __future__ import annotations

from collections.abc import Mapping

from twelve.evaluation.recorded import KEPT

METRICS = {
    "recall@1": "Share of the phrases whose best box is right.",
    "recall@5": "Share of the phrases of whose five best boxes one is right.",
    "recall@10": "Share of the phrases of whose ten best boxes one is right.",
    "R@1": "Recall at 1: share of the captions whose own image is ranked first.",
    "R@5": "Recall at 5: share of the captions whose own image is among the first five.",
    "R@10": "Recall at 10: share of the captions whose own image is among the first ten.",
    "consistency": "Share of the groups of related examples that are all right; stricter than accuracy.",
    "median rank": "Place of the right one for half of the queries or better; 1 is best.",
    "mean rank": "Mean place of the right one; 1 is best.",
    "validity": "Share of the answers that are of the kind the question asks for (a colour for a colour question).",
    "plausibility": "Share of the answers that could be true in the world at all.",
    "distribution": "Distance between the predicted and the true answers' frequencies; lower is better.",
    "MRR": "Mean reciprocal rank: the mean of 1, 1/2, 1/3, ... for a right one in place 1, 2, 3, ...",
    "NDCG": "How well the options stand in the order of their relevance, as several people judged it; 100 is best.",
    "Q->A": "Share of the questions whose right answer was chosen.",
    "QA->R": "Share of the right answers for which the right reason was chosen.",
    "error": "Share of the examples that are wrong; lower is better.",
}

BASELINES = {
    "majority": "The best constant answer: the most frequent one of the measured split, known with hindsight.",
    "bag of words": "A separate model, trained on the same examples, that reads the text and never sees an image.",
    "box prior": "The largest and surest box of the image, whatever the phrase says.",
    "trained box prior": "A separate model, trained on where wanted boxes lie and how large they are, without phrases "
    "and images.",
    "shuffled images": "This very model, shown another image of the split in place of each right one.",
    "chance": "A choice, or an order, drawn at random.",
}

BASELINE = (
    "What is reached without looking at the right image; only a score clearly above it shows that it was looked at."
)
INTERVAL = (
    "The range beside it is the 95 % interval: how far the score would move had other images of the same kind been "
    "drawn (bootstrap over whole images, not single examples)."
)
ADVANTAGE = "The model's score minus the baseline's on the same examples, in points."
BEATEN = "A baseline is beaten when the whole interval of the advantage lies above zero."
UPPER_BOUND = (
    "The oracle: what could be reached at most on this split, by someone who sees the whole scene, or with the best of "
    "the boxes that were found or of the answers that can be given."
)
CLOSED = "Share of the way from the best baseline (0 %) to the upper bound (100 %)."
LOSS = "What training lowers: how far the outputs are from the right ones. Tasks' losses cannot be compared."
VALIDATION = "The task's score on training images set aside for validation; not the official number."
STOPPED = (
    "Stop-and-go: a task whose validation score no longer rises stands still and is trained only now and then, until "
    "its score drops."
)
DRAWN = (
    f"Not chosen for how they look: of {KEPT} examples of the split drawn at random (all, where there are fewer), the "
    "first ones that were right and the first that were wrong."
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
        meaning += " Here the other way round: captions ranked for each image."
    return f"{meaning} Only examples of the part “{part}”." if part else meaning


def baseline(name: str) -> str:
    """What a baseline is."""
    return BASELINES.get(name, "A score that needs no image.")


def minutes(seconds: float) -> str:
    """``75 -> '1 min 15 s'``."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    whole, rest = divmod(round(seconds), 60)
    hours, whole = divmod(whole, 60)
    return f"{hours} h {whole} min" if hours else f"{whole} min {rest} s"
