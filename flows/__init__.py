"""Pipelines: one file a flow, which reads as the DAG; recipes in flows/recipes/."""
