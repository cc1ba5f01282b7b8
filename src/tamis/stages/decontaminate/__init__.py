"""Decontaminate: remove documents that overlap with evaluation data."""
