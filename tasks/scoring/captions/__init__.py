"""How good captions of photos are."""
