"""The guide to the first revision of a host: a few questions whose answers go into the draft."""
