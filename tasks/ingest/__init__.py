"""Rows of a corpus to WebDataset shards, their index and a quarantine."""
