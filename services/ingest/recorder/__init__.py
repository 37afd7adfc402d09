"""The recorder: from the topics to the store, each message exactly once."""
