"""What answers look like, for the OpenAPI documents. They are documented, not validated while a request waits: tests hold answers to them.

Fields may be added; none is renamed or removed (`docs/openapi-v1.promises` is what was promised).
"""
