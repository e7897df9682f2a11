"""The desk: where the clinic's staff read what was said."""
