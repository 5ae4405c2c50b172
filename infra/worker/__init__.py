"""What the Prefect worker of a cluster does before it takes work."""
