"""The probe ``affinity``: how the tasks of a run affect each other (training/affinity.py)."""

from __future__ import annotations

from twelve.study.observing import PROBES, Observed
from twelve.training.affinity import Affinity

TIMES = 20
"""Measurements in a run."""
BATCHES = 16
"""Batches that each gradient is a mean of. With one, measurements fail their control; with 16, they pass it
(docs/relations.md)."""


def of_run(observed: Observed) -> Affinity:
    """The probe of a run, which measures at equal intervals, whatever the run's length; in extensions, at the same."""
    length = (*observed.earlier, observed.config.training.iterations or TIMES)[0]
    return Affinity(every=max(1, length // TIMES), before=sum(observed.earlier), batches=BATCHES)


PROBES["affinity"] = of_run
