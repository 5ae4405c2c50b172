"""Where things run and where they lie: settings, store, tracking, cluster. Knows nothing of models or tasks."""
