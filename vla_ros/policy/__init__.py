"""Policies and their checkpoints. Only `vla_policy` imports torch."""
