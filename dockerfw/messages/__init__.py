"""The messages between the agent and the dashboard, checked on both sides."""
