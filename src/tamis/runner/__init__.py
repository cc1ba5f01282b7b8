"""Runs any plan: task body, ledger, checks, engines. Knows the stage shapes, not the stages."""
