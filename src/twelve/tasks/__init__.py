"""Tasks: one file per dataset (see base.py)."""
