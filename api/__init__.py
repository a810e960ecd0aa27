"""BE ASKED: the doors, thin."""
