"""The way of one packet, or of every source at once, through a ruleset."""
