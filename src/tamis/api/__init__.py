"""What `import tamis` offers: the steps of a recipe on texts, tables, data frames and streams, and runs opened as data.

The functions build the stages that a recipe builds and hand them batches of documents, so that a row gets the same
answer here as in a run. `tamis/__init__.py` loads these modules when one of their functions is first asked for.
"""
