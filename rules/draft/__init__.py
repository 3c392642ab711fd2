"""Editing rules, settings and expectations. Import and export."""
