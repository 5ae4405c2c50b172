"""Autoregressive decoders: beam search, continuation, attention as alignment."""
