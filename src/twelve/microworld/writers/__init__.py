"""One writer a dataset: the world in the official layout of its files."""
