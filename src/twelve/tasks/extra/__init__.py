"""Tasks beyond the twelve."""
