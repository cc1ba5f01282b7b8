"""Exact repeated spans of tokens, found by a rolling hash or a suffix array, and cut out."""
