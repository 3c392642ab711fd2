"""Feeds, DNS names and countries: fetched, judged, and kept as numbered versions."""
