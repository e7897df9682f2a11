"""From a question with its topic and entities to exactly one Reply."""
