"""Policies as tables and pure functions."""
