SMALL = {"embedding_size": 12, "hidden_size": 16, "encoder_layers": 3, "decoder_layers": 3, "attention_size": 12}
SMALL |= {"dropout": 0.0, "initial_range": 0.3}
VARIANTS = [SMALL, SMALL | {"encoder_layers": 2, "decoder_layers": 1, "label_smoothing": 0.05}]
