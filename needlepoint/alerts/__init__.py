"""Telling staff of urgent messages: delivers the staff's outbox by e-mail and by webhook, and escalates."""
