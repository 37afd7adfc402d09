"""The trainer: learns what is normal from history, registers versions, and decides on promotion."""
