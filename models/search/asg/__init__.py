"""The auto segmentation criterion: beam search and forced alignment."""
