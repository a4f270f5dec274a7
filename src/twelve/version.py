"""The version of this package: that of the newest release in CHANGELOG.md, or the next one with ".dev0"."""

__version__ = "0.1.0.dev0"
