"""Numba kernels over Arrow buffers; each has a plain-Python twin in reference.py that is its specification."""
