"""Common drawings, all entities of a kind at once; whatever is not sure to be read as ezdxf does is handed over."""
