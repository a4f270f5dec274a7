"""From photographs to regions: extraction, the store, and what a region is."""
