"""Pages for people: HTML with everything in it, and nothing of it taken from elsewhere."""
