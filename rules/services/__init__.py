"""Everything that changes the database: keyword-only, typed, one transaction each, audited."""
