"""The machinery: a step and its key, jobs in this process or on Ray, a Parquet part for each shard, progress."""
