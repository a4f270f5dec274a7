"""The findings of a study, from the results of its runs."""

from __future__ import annotations

from pathlib import Path

from twelve.study.finding_types import Findings


def findings(out: Path) -> Findings:
    """The findings of a study.

    Args:
        out: the study's folder.
    """
    raise NotImplementedError
