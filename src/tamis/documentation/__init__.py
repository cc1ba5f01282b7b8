"""The documentation of this machine's Python packages as a WARC crawl, rendered from their source files without running
them."""
