"""DO: what runs inside a worker. The only importer of numpy, faiss and CAD readers."""
