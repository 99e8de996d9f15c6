"""Ablations: which patches explain the gap between a tree and the same tree with all of them, and how sure is that."""
