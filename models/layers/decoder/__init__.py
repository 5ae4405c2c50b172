"""What autoregressive decoders attend with and are trained with."""
