"""Archives of documents to translations."""
