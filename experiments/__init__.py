"""Command-line experiments: the only place where all packages meet."""
