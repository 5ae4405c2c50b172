"""Sound as bytes to samples: clips of any format, and input that comes in chunks."""
