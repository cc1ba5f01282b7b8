"""The words of the language: recipe schema, columns, stage shapes, errors, seeds, cards, events."""
