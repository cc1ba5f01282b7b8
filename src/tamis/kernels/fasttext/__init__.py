"""Classifiers of fastText, read from its files and applied without the library."""
