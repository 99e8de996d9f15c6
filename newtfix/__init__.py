"""Fixes for newt-style training code, applied to source trees as small, reversible patches."""

__version__ = "0.1.0"
