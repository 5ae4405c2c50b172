"""What a model said, measured: error rates, accuracy, perplexity, calibration."""
