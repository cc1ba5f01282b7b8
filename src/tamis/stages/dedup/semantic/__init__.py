"""SemDeDup: removes documents whose embedding is too similar to another one in the same cluster."""
