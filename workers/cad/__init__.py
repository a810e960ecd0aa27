"""Readers: a CAD file in, a `Shape` or a `Failure` out."""
