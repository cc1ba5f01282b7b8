"""Twins of the kernels in `kernels.fasttext.classifier`."""
