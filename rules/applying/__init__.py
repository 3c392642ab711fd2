"""Review, apply, keep, roll back, history, drift, and the clerk that records outcomes."""
