"""Dedup: remove documents that say again what an earlier document of the corpus already said."""
