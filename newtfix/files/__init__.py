"""Trees, records and git on the disk: read, lock, write, merge, export, cache."""
