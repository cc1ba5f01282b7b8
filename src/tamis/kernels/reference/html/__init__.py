"""Twins of the kernels in `kernels.html`."""
