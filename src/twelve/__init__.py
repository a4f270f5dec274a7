"""One vision-and-language model for twelve datasets."""

__version__ = "0.1.0"
