"""``python -m twelve``."""

from twelve.cli import main

main()
