"""Kernels of language identification."""
