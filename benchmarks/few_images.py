"""How often the 95% interval of a score contains the true score, if there are few images: the table of
docs/protocols.md, and the numbers in ``twelve.metrics.bootstrap``.

Every image has three questions. A model answers each question of an image correctly with the same probability, which
is drawn for the image from a beta distribution, so the questions of an image are not independent. In the paired
comparison, a second model has the same mean score, and its probabilities correlate with those of the first one.

    python benchmarks/few_images.py
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from twelve.metrics.bootstrap import bounds_of_lead, interval

IMAGES = (3, 5, 7, 10, 15, 20, 30)
QUESTIONS = 3
MEANS = (0.5, 0.7, 0.9)
CONCENTRATION = 2.0
"""Sum of the two parameters of the beta distribution: the smaller, the more alike the questions of an image are."""


def coverage(images: int, mean: float, questions: int, studies: int) -> tuple[float, float]:
    """Of the interval of a score and of that of a difference of two scores, per cent."""
    rng, hits = np.random.default_rng(images), np.zeros(2)
    groups = [f"{image:02}" for image in range(images) for _ in range(questions)]
    for _ in range(studies):
        first, second = (_answers(rng, probabilities, questions) for probabilities in _probabilities(rng, images, mean))
        score = interval(first, groups)
        lead = interval(first - second, groups, bounds=bounds_of_lead(second, known=False))
        hits += score.low <= mean <= score.high, lead.low <= 0 <= lead.high
    one, pair = (100 * hits / studies).tolist()
    return one, pair


def _probabilities(rng: np.random.Generator, images: int, mean: float) -> NDArray[np.float64]:
    """(2, images) of a correct answer; half of the images have the same one for both models."""
    found = rng.beta(CONCENTRATION * mean, CONCENTRATION * (1 - mean), (2, images))
    found[1] = np.where(rng.random(images) < 0.5, found[0], found[1])
    return found


def _answers(rng: np.random.Generator, probabilities: NDArray[np.float64], questions: int) -> NDArray[np.float64]:
    """(images * questions,) 1 for a correct answer, 0 for a wrong one."""
    return (rng.random((len(probabilities), questions)) < probabilities[:, None]).astype(np.float64).ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=4000)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    given = parser.parse_args()
    print("| images |", " | ".join(map(str, IMAGES)), "|")
    for mean in MEANS:
        found = [coverage(images, mean, given.questions, given.studies) for images in IMAGES]
        for name, values in zip(("score", "difference"), zip(*found, strict=True), strict=True):
            print(f"| {name}, true score {100 * mean:.0f}% |", " | ".join(f"{each:.1f}" for each in values), "|")


if __name__ == "__main__":
    main()
