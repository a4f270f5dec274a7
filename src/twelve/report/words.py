"""What the report says in words: the meaning of every kind of output, metric and baseline, for a reader new to it."""

from __future__ import annotations

from twelve.evaluation.record import KEPT

KINDS = {
    "answer": "Answer a question about an image, with one answer out of a fixed list.",
    "alignment": "Find the image that a caption describes, among all images of a gallery.",
    "pretraining": "Find the image that a caption describes, with what hidden words and regions alone have taught.",
    "region": "Point at the thing in an image that a phrase or a question means.",
    "pair": "Say whether a statement is true of two images.",
    "entailment": "Say whether an image proves a statement, contradicts it or leaves it open.",
    "truth": "Say whether a statement is true of an image.",
    "reply": "Answer a question about one given thing in an image with yes, no or not applicable.",
    "options": "Choose among texts that are given with the image: the right answer, its reason, the next turn.",
}

_ACCURACY = {
    "answer": "Mean mark of the answers, as the dataset's own scorer gives them; 100 means every answer is right.",
    "region": "Share of the examples in which the right thing was pointed at.",
    "pair": "Share of the statements judged rightly; guessing gives about 50.",
    "entailment": "Share of the statements put into the right one of three classes; guessing gives about 33.",
    "truth": "Share of the statements judged rightly; guessing gives about 50.",
    "reply": "Share of the questions answered rightly with one of three answers; guessing gives about 33.",
}

_OPTIONS = {
    "R@1": "Recall at 1: share of the examples whose right text is ranked first.",
    "R@5": "Recall at 5: share of the examples whose right text is among the first five.",
    "R@10": "Recall at 10: share of the examples whose right text is among the first ten.",
}

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

_SHOWN = {
    "answer": "Bars: the answers the model finds likeliest, each with its own probability; ✓ marks what is right.",
    "alignment": "The five images that the model ranks first; the caption's own follows if it is further down.",
    "pretraining": "The five images that the model ranks first; the caption's own follows if it is further down.",
    "region": "Solid frame: the thing that was meant. Dashed frame: what the model points at.",
    "pair": "Bars: the model's probability of true and of false; ✓ marks what is right.",
    "entailment": "Bars: the model's probability of each class; ✓ marks what is right.",
    "truth": "Bars: the model's probability of true and of false; ✓ marks what is right.",
    "reply": "Frame: the thing asked about. Bars: the model's probability of each answer; ✓ marks what is right.",
    "options": "Bars: the texts the model finds likeliest; ✓ marks what is right.",
}


def metric(name: str, kind: str) -> str:
    """What a metric means; its part after a comma ("accuracy, number") is the subset it was taken on."""
    head, _, part = name.partition(", ")
    base = head.removeprefix("image to text ")
    named = METRICS | _OPTIONS if kind == "options" else METRICS
    meaning = _ACCURACY.get(kind, "") if base == "accuracy" else named.get(base, "")
    if not meaning:
        return "Number of the dataset's own scorer."
    if base != head:
        meaning += " Here the other way round: captions ranked for each image."
    return f"{meaning} Only examples of the part “{part}”." if part else meaning


def baseline(name: str) -> str:
    """What a baseline is."""
    return BASELINES.get(name, "A score that needs no image.")


def shown(kind: str) -> str:
    """How to read the examples of a kind of output."""
    return _SHOWN.get(kind, "")


def minutes(seconds: float) -> str:
    """``75 -> '1 min 15 s'``."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    whole, rest = divmod(round(seconds), 60)
    hours, whole = divmod(whole, 60)
    return f"{hours} h {whole} min" if hours else f"{whole} min {rest} s"
