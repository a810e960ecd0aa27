"""ASK FOR: the contract between those who ask and those who do. Light enough for a client to import."""
