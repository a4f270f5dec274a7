"""Tasks: one file a dataset (see base.py)."""
