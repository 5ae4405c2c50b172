"""The plan of an epoch and the data sets that read its batches."""
