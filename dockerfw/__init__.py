"""The firewall engine and the agent: everything a managed machine needs. No Django, no database."""
