"""Questions to finished runs: why a page was removed, random samples, what two runs do differently."""
