"""What passes between the rooms: examples, images' regions, batches, measurements."""
