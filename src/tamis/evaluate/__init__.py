"""Evaluation: tasks, scoring, aggregation, and comparison with intervals."""
