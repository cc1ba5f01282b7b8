"""Decontaminate: remove documents that contain text of the data a model will be evaluated on."""
