"""The auditor of the store: what can be wrong in it (`rules.py`), how it is found and how it is mended."""
