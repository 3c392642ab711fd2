"""What hosts reported, parsed once and remembered."""
