"""The three services. Each imports `faultline` and never another service."""
