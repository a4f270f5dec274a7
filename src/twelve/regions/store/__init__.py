"""Regions on disk: written so that nothing is lost, read without a copy."""
