"""Kernels of extraction: the blocks of a page, their features, the trees that judge them, and how deep a page nests."""
