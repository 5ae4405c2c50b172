"""One time step of each recurrence, and what it may have around it."""
