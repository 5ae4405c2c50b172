"""What leaves the pipeline: runs and models into MLflow, corpora to other tools."""
