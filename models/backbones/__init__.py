"""Networks that look at photos, with the weights that others trained: what captioners attend to."""
