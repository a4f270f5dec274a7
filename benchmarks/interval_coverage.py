"""How often 95% intervals of a study contain the true value, in simulated studies, and which difference a number of
seeds detects: the tables of docs/study-scores.md.

One task, one difference of two arms. Values are normally distributed: one effect for each seed, and one for each of 40
groups of examples. Each seed has examples of its own, or all seeds share them and their effects.

The share is what ``twelve study show`` prints, but of the true variances: that of the variance of the resampled means
which comes from the choice of seeds. Where each seed has its own examples, a choice of seeds is one of examples too, so
the share includes their variance: it is at least (N - 1) / (2 N - 1) with N seeds, 40% with three. Where all seeds
share their examples, it is the variance between seeds over N, divided by the variance of the mean.

    python benchmarks/interval_coverage.py --seeds 5
    python benchmarks/interval_coverage.py --shared
    python benchmarks/interval_coverage.py --detected
"""

from __future__ import annotations

import argparse

import numpy as np

from twelve.study.bootstrap import Sampled, detected, interval, observed, t_interval, two_level

SHARES = (0, 20, 50, 70, 80, 90, 95, 97, 99, 100)
GROUPS = 40
COUNTS = (3, 4, 5, 7, 10, 20)


def coverage(count: int, share: float, studies: int, shared: bool) -> tuple[float, float, float] | None:
    """Of the bootstrap interval, the t interval, and at least one of the two, per cent; None if there is no such share.

    The variance of the mean over the groups of a seed is 1, and 0 where the share is 1.
    """
    rng, hits, within = np.random.default_rng(0), np.zeros(3), float(share < 1)
    if share == 1:
        between = 1.0
    elif shared:
        between = count * share / (1 - share)
    else:
        between = count / (count - 1) * share / (1 - share) - 1
    if between < 0:
        return None
    for number in range(studies):
        effects = between**0.5 * rng.standard_normal((count, 1))
        values = effects + (within * GROUPS) ** 0.5 * rng.standard_normal((1 if shared else count, GROUPS))
        cells = {"task": [Sampled(row[None], [f"{n:02}" for n in range(GROUPS)], 0.0, 1.0) for row in values]}
        seeds, drawn = observed(cells).points["task"][:, 0], two_level(cells, shared=shared, seed=number).points["task"]
        found = interval(drawn[:, 0], float(seeds.mean())), t_interval(seeds.tolist())
        contain = [each is not None and each.low <= 0 <= each.high for each in found]
        hits += [*contain, any(contain)]
    first, second, either = (100 * hits / studies).tolist()
    return first, second, either


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--shared", action="store_true", help="all seeds share their test examples")
    parser.add_argument("--detected", action="store_true", help="print which differences are detected instead")
    given = parser.parse_args()
    if given.detected:
        print(", ".join(f"{count} seeds: {detected(count):.1f}" for count in COUNTS))
        return
    print("| interval |", " | ".join(f"{share}%" for share in SHARES), "|")
    found = [coverage(given.seeds, share / 100, given.studies, given.shared) for share in SHARES]
    for place, name in enumerate(("bootstrap", "t", "at least one")):
        print(f"| {name} |", " | ".join(f"{each[place]:.1f}" if each else "" for each in found), "|")


if __name__ == "__main__":
    main()
