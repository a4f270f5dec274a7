"""How often 95% intervals of a study contain the true value, in simulated studies, and which difference a number of
seeds detects: the tables of docs/study-scores.md.

One task, one difference of two arms. Values are normally distributed: one effect for each seed, which has examples of
its own, and one for each of its 40 groups of examples. The share is that of the variance of the resampled means which
comes from the seeds, as ``twelve study show`` prints it, but of the true variances.

    python benchmarks/interval_coverage.py --seeds 5
    python benchmarks/interval_coverage.py --detected
"""

from __future__ import annotations

import argparse

import numpy as np

from twelve.study.bootstrap import Sampled, detected, interval, observed, t_interval, two_level

SHARES = (50, 70, 80, 90, 95, 97, 99, 100)
GROUPS = 40
COUNTS = (3, 4, 5, 7, 10, 20)


def coverage(count: int, share: float, studies: int) -> tuple[float, float]:
    """Of the bootstrap and the t interval, per cent; the variance of the mean over the groups of a seed is 1, and 0
    where the share is 1."""
    rng, hits, within = np.random.default_rng(0), np.zeros(2), float(share < 1)
    between = count / (count - 1) * share / (1 - share) - 1 if share < 1 else 1.0
    for number in range(studies):
        effects = between**0.5 * rng.standard_normal((count, 1))
        values = effects + (within * GROUPS) ** 0.5 * rng.standard_normal((count, GROUPS))
        cells = {"task": [Sampled(row[None], [f"{n:02}" for n in range(GROUPS)], 0.0, 1.0) for row in values]}
        seeds, drawn = observed(cells).points["task"][:, 0], two_level(cells, shared=False, seed=number).points["task"]
        found = interval(drawn[:, 0], float(seeds.mean())), t_interval(seeds.tolist())
        hits += [each is not None and each.low <= 0 <= each.high for each in found]
    first, second = (100 * hits / studies).tolist()
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--detected", action="store_true", help="print which differences are detected instead")
    given = parser.parse_args()
    if given.detected:
        print(", ".join(f"{count} seeds: {detected(count):.1f}" for count in COUNTS))
        return
    print("| interval |", " | ".join(f"{share}%" for share in SHARES), "|")
    found = [coverage(given.seeds, share / 100, given.studies) for share in SHARES]
    for name, values in zip(("bootstrap", "t"), zip(*found, strict=True), strict=True):
        print(f"| {name} |", " | ".join(f"{each:.1f}" for each in values), "|")


if __name__ == "__main__":
    main()
