"""Photos with captions to shards."""
