SMALL = {"embedding_size": 12, "recurrent": {"hidden_size": 20}, "initial_range": 0.3, "dropout": 0.0}
VARIANTS = [SMALL, SMALL | {"embedding_size": 20, "tied": True, "label_smoothing": 0.05, "sampling": {"rate": 0.05}}]
