"""What a model says of data: transcripts, labels, alignments, generated text, live words."""
