"""Extract: HTML bytes of any encoding to text, one guarded page at a time."""
