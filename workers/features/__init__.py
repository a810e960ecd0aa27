"""Features: a `Shape` in, one comparable vector out."""
