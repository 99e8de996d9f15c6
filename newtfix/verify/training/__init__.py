"""A tree's own training, on a CPU, small, with a task of a simulator: whether it runs, and what it does."""
