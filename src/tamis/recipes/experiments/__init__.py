"""Experiments shipped with the package, as YAML."""
