"""``twelve``, and ``python -m twelve``."""

from __future__ import annotations

import atexit
import gc
import os
import sys

SPINS = "3000"
"""How often a thread of torch's GNU OpenMP looks for work before it sleeps; its own default is 300,000.

A thread that spins keeps its core from the thread that it waits for, where other processes hold the other cores. A step
with two threads (configs/real-sample.yaml, two cores) beside two busy processes: 6.5 s by default, 4.1 s with 3,000;
alone, 1.8 s each. With 1,000, a small model is 15 % slower alone.
"""
GARBAGE = 100_000
"""Objects after which Python looks for reference cycles. At its own 700 it does so 380 times while torch is imported,
which takes 0.12 of 1.4 s.
"""


def main() -> None:
    """Run the command line. Interrupted while it is being imported, say so as it does later."""
    gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)  # as it ends, Python looks for cycles among all objects of torch: 0.5 s for nothing
    if "OMP_WAIT_POLICY" not in os.environ:  # torch reads both once, when it is loaded
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    try:
        from twelve.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("twelve: interrupted\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
