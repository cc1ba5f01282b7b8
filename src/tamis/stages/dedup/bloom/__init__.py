"""DCLM's BFF: removes paragraphs and documents whose n-grams are already in a Bloom filter."""
