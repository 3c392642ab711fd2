"""Exposure and trace: who can reach what."""
