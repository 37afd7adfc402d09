"""Where readings come from: files, a simulated plant, this machine. And the sinks they go to."""
