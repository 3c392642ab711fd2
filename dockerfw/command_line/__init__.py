"""The command `dockerfw`: the verbs that need no database, and the way to the dashboard's verbs."""
