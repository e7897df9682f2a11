"""The database: its tables' common base, connections, and migrations."""
