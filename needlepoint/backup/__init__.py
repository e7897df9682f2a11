"""Backups of the database as one file, restored whole or not at all, on either kind of database."""
