"""DXF: a fast reader for common drawings, ezdxf for all others."""
