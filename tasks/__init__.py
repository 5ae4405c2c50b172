"""The steps of a pipeline: the only code that touches Ray, Prefect's tasks and the contents of the disk."""
