"""Patterns with holes, matching, and templates rendered back into code."""
