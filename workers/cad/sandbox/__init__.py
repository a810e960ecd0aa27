"""Files are read in a child process, behind walls."""
