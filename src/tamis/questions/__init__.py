"""Questions to finished runs about single pages: why one was removed, random samples, what two runs do differently."""
