"""Shared fixtures. Threads are kept few so that the suite is deterministic in time on small machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(scope="session")
def goldens() -> Path:
    """Recorded inputs and outputs of the original programs (each folder has an origin note)."""
    return GOLDENS


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The real photographs and annotations; not part of the project (licences)."""
    root = Path(os.environ.get("TWELVE_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))
    if not (root / "README.md").is_file():
        pytest.skip(f"real data not found at {root} (set TWELVE_REALDATA)")
    return root
