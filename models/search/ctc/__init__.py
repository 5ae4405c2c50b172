"""CTC: prefix beam search, forced alignment, prefix scores."""
