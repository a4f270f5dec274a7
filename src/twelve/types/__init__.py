"""Types shared by the packages: examples, regions, batches, measurements."""
