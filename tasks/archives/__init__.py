"""Archives of any size, each file's results exactly once: frozen lists of work, parts, their commits; reports."""
