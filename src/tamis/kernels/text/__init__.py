"""Text as the other kernels read it: decoding, character properties, words, sentences, tokens and n-grams."""
