"""What architectures are built of: recurrence over a sequence, attention, convolutions, initial weights."""
