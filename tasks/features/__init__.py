"""Shards to feature shards: the front end, the step that runs it, and augmentation."""
