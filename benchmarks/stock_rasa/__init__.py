"""Stock Rasa 3.6.21, to compare with: its default pipeline, and an action as Rasa's own guide has it."""
