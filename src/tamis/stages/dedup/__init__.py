"""Dedup: remove documents and text that repeat an earlier document of the corpus."""
