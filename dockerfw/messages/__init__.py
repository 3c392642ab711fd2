"""What the agent and the dashboard tell each other, checked on both sides."""
