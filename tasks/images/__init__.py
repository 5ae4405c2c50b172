"""Photos: their bytes to pixels, whatever the format, and whether two of them are the same."""
