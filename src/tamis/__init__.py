"""Tamis: curate a web crawl, train a fixed model on what is left, and compare the result with an interval."""

__version__ = "0.1.0"
