"""One inbound message from receipt to reply; the record of it; the outbox."""
