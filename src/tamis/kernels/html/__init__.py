"""Kernels of extraction: the blocks of a page, their features, the decision trees that classify them, and the nesting
depth of a page."""
