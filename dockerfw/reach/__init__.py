"""Questions put to the simulation: exposure, expectations, lock-out, changes, warnings."""
