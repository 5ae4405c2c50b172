"""Archives of photos to captions."""
