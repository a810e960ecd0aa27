"""STEP solids of elementary surfaces, measured and meshed without a geometry kernel; what is not covered is handed over to it."""
