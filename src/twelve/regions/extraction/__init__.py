"""From image files to regions."""
