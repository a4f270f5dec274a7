"""Controlled comparisons of ways to train: many runs that differ in one thing, their results as data, and a table."""
