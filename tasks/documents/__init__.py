"""Documents of text: what of one is to be translated, and the same document with the translation in its place."""
