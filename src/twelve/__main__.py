"""``twelve``, and ``python -m twelve``."""

from __future__ import annotations

import sys


def main() -> None:
    """The command line; interrupted before it is there, it says so as it does later."""
    try:
        from twelve.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("twelve: interrupted\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
