"""What the agent remembers and tells: intents and events on disk, sent until the queue has them."""
