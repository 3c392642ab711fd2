"""The audit log: every action with its actor, time and address."""
