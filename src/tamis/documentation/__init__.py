"""Documentation of this machine's Python, rendered from its source files as a WARC crawl without running any of it."""
