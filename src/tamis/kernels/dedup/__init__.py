"""Kernels of deduplication: Bloom filters, MinHash, repeated windows of tokens, and connected components."""
