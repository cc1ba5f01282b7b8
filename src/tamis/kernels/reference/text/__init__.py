"""Twins of the kernels in `kernels.text.decoding`."""
