"""Language models: what is checked before the first step, and what an epoch is measured by."""
