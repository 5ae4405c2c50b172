"""What Transformers are made of: attention of several heads, its cache, positions, layers."""
