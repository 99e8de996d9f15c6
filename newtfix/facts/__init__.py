"""Relations: what patches rely on in a tree, decided from the flow of values, and said where a tree breaks it."""
