"""Text to ids: normalization, tokenizers, and the errors that separate two texts."""
