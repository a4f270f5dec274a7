"""Imports region features of other programs into the store: one module per format, and one function for all."""

from twelve.regions.importers.run import ImportReport, import_regions

__all__ = ["ImportReport", "import_regions"]
