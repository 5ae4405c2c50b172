"""What lies in the artifact store, and its cleanup: `python -m infra.artifacts`."""
