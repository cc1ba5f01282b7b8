"""Quality: fit or load a classifier, score every document, cut at a threshold or a share."""
