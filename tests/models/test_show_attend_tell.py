SMALL = {"embedding_size": 12, "hidden_size": 20, "attention_size": 12, "dropout": 0.0}
VARIANTS = [
    SMALL,
    SMALL
    | {"projection": 10, "tied": True, "label_smoothing": 0.05, "doubly_stochastic": 0.0, "sampling": {"rate": 0.05}},
]
