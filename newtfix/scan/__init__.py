"""The discrepancy report: what a tree lacks or has wrong, where, and what follows from its own settings."""
