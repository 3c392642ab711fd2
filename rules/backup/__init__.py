"""What a backup is: one file with the database, the settings and the root worker's state."""
