"""REMEMBER: rows and files. The only importer of SQLAlchemy."""
