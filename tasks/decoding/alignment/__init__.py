"""When each word of a known text was said, and the files that say so."""
