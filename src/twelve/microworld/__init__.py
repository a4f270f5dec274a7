"""A small drawn world with all twelve datasets, for training and evaluation without downloads."""
