"""``twelve``, and ``python -m twelve``."""

from __future__ import annotations

import os
import sys

SPINS = "3000"
"""How often a thread of torch's GNU OpenMP looks for work before it sleeps; its own default is 300,000.

A thread that spins keeps its core from the thread that it waits for, where other processes hold the other cores: on two
cores beside two busy processes, a step of configs/real-sample.yaml with two threads took 6.5 s, and 4.1 s with this;
alone, 1.8 s both. With 1,000, a small model alone loses 15 %.
"""


def main() -> None:
    """Run the command line. Interrupted while it is being imported, say so as it does later."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read once, when torch is loaded
    try:
        from twelve.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("twelve: interrupted\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
