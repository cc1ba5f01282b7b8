"""What all other packages share: the recipe schema, columns, kinds of stages, errors, seeds, cards and events."""
