"""The simulation of one packet, or of one service from every source, through a ruleset."""
