"""The soft magnetic film with its own stray field: standard problem 4."""
