"""What a retraining is made of: the data that is new, where it starts from, and who becomes champion."""
