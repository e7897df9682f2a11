"""What the queues of the inbox are called at the desk, and what is in each."""

from __future__ import annotations

#: Queue, its name, and what is in it.
QUEUES: dict[str, tuple[str, str]] = {
    "urgent": ("Urgent", "Red flags. Being done with one also acknowledges it."),
    "missed": ("Possibly missed", "Words of a symptom that got an ordinary answer."),
    "person": ("Asked for a person", "They want somebody of the clinic, or left a number."),
    "failure": ("Failed", "Got an apology because something was down."),
    "thumbs_down": ("Not helpful", "The person said that the answer did not help."),
    "declined": ("Not answered", "The assistant did not know, or may not say."),
    "rephrased": ("Asked again", "The same question in other words, or the same answer twice."),
    "clarified": ("Asked back", "The assistant could not tell what was meant."),
    "sample": ("Sample", "Five of a hundred, whatever became of them."),
}
