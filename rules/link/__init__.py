"""The dashboard's connection to Redis."""
