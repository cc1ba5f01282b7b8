"""Runs any graph: nodes, ledger, task body, checks, engines. Knows the stage shapes, not the stages."""
