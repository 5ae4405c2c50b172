LSTM = {"layers": 2, "hidden_size": 16}
SMALL = {"embedding_size": 12, "recurrent": LSTM, "dropout": 0.0, "initial_range": 0.3, "window": 2}
VARIANTS = [
    SMALL,
    SMALL | {"score": "dot", "reach": "global", "reverse_source": False, "input_feeding": False},
    SMALL | {"score": "concat", "reach": "local_m", "recurrent": LSTM | {"dropout": 0.05}},
]
