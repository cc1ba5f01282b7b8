"""Extract: HTML bytes of any encoding to text, page by page, within limits of size and nesting depth."""
