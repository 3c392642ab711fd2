"""Gathers on the host what the doctor judges: looks, and changes nothing. Judging is for `rules.doctor`."""
