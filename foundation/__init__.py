"""STAND: what any process here needs. Imports nothing of ours."""
