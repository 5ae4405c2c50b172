"""The training loop, what it is told, and how it is run: here, on Ray Train, or several trials at a time."""
