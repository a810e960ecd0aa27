"""STEP and IGES through Open CASCADE."""
