"""How fast the trainer and the tool are: `python -m benchmarks`, or `make bench`. See docs/performance.md."""
