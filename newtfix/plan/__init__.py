"""Texts in, texts out: look, rewrite, prove, account."""
