"""Region features that others have extracted, brought into the store: one file a format, all behind one function."""

from twelve.regions.importers.run import ImportReport, import_regions

__all__ = ["ImportReport", "import_regions"]
