"""Search for the most probable output, in packages by what it searches; here what they all share."""
