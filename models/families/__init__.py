"""What architectures of one kind share, beside what makes each: loss, search, streams."""
