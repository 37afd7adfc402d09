"""The gateway: readings over HTTP into the topic."""
