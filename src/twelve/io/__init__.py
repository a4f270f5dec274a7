"""Files, paths and texts, whatever they hold."""
