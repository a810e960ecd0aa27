"""Real exceptions, provoked, each with the code it must get and whether asking again can help."""
