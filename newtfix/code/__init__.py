"""Syntax trees, the view that patterns see, and what follows from code alone: Python, nothing of newt."""
