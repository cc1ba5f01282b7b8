"""Cuts out exact repeated spans of tokens, which are found by a rolling hash or a suffix array."""
