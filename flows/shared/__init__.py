"""What the pipelines share: command line, checks, overrides, the summary of a run."""
