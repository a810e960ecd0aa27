"""TELL: deliveries of webhooks to receivers nobody here controls."""
