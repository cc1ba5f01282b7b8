"""Cards and events to one self-contained HTML page."""
