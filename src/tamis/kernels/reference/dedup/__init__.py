"""Twins of the kernels in `kernels.dedup`."""
