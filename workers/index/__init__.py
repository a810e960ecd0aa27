"""Rebuildable search structures over vectors."""
