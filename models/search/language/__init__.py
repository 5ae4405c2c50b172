"""Language models in a search: n-grams, fusion, words, text generation."""
