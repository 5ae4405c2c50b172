"""A model with all that is needed to use it: weights, tokenizer, front end, language model, words."""
