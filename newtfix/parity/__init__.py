"""Parity: what a tree's own classes compute from recorded weights and inputs, against the recorded results."""
