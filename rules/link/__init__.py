"""The dashboard's end of the queue."""
