"""What a worker process keeps in memory."""
