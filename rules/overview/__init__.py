"""The dashboard, the live page and the health check."""
