"""Read-only questions, one module a page; they write nothing and run nothing."""
