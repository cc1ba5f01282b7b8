"""What the command line prints: progress while a run works, tables and plans afterwards."""
