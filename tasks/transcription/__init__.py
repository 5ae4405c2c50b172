"""Whole recordings of any length to transcripts, with times and confidence, and the files they are written in."""
