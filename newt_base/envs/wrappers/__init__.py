"""Wrappers between a simulator and the trainer: episodes of fixed length, many environments as one batch."""
