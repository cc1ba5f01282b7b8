"""Tokenize: text to token ids."""
