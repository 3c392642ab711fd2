"""The dashboard page, the live page and the health check."""
