"""Scores to self-contained HTML pages with their plots."""
