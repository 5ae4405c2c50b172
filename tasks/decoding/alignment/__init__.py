"""When each token and word was said, and the files that say so."""
