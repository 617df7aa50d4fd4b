"""Experiments: data sets, networks, recipes, the runner and its report."""
