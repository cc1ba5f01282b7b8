"""Dedup: remove copies across the whole corpus."""
