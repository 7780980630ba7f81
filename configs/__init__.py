"""Experiment configs: runnable recipes for `python -m experiments.train`."""
