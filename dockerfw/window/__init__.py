"""How an apply ends: keep, roll back, watchdog."""
