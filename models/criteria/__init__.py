"""What is minimized: a loss a file, in nats."""
