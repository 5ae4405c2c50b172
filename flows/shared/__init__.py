"""What the pipelines share: command line, checks, overrides, kinds of model, the summary of a run."""
