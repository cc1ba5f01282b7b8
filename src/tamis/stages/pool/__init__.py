"""Pool: which pages there are, under which ids, and which part of them this run may see."""
