"""What a team runs, put through its flows on one machine: the services of compose.yaml, in networks of their own."""
