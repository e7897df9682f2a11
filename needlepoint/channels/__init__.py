"""The ways in: each authenticates a message, bounds it, hands it to the reception, and delivers from the outbox."""
