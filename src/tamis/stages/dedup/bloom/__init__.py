"""DCLM's BFF: paragraphs and documents whose n-grams a Bloom filter has seen before."""
