"""Tasks, scoring, aggregation and comparison with intervals."""
