"""Twins of the kernels in `kernels.rules`."""
