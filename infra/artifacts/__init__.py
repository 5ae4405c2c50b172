"""What the artifact store says of itself: manifests, its root, what there is and what may go."""
