"""The steps of a pipeline, in packages by stage: the only code that touches Ray, Prefect's tasks and the disk."""
