"""Kernels of the filter: signals measured on a document, edits made to it, and the program that chains them."""
