"""The command `scriptorium`: what there is, and what each takes, without importing what does the work."""
