"""Cut: remove documents by the value of one column, at a threshold or down to a share of the corpus."""
