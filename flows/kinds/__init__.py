"""What the flows need of each kind of model: its data, training, scores and page, by a recipe or for a bundle."""
