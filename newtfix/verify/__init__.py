"""Verify: what a tree's own trainer, agent, networks and buffer do with fakes around them, patch by patch."""
