"""From official files and region stores to batches."""
