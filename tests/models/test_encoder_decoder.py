SMALL = {"rank": 12, "hidden_size": 20, "maxout_size": 12, "initial_deviation": 0.3}
VARIANTS = [SMALL, SMALL | {"label_smoothing": 0.05, "sampling": {"rate": 0.05}}]
