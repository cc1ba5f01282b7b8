"""SemDeDup: embeddings, clusters, and documents too alike inside a cluster."""
