"""Recipes and experiments shipped with the package, as YAML, and how such files are read."""
