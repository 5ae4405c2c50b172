SMALL = {"embedding_size": 12, "recurrent": {"layers": 2, "hidden_size": 20}, "initial_range": 0.3}
VARIANTS = [
    SMALL,
    SMALL | {"reverse_source": False, "recurrent": {"cell": "gru", "hidden_size": 20}, "label_smoothing": 0.05},
]
