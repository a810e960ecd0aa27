"""One file a resource. Bodies are the task types themselves."""
