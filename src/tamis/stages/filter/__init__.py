"""Filter: measure signals once, then apply tables of rules and text edits."""
