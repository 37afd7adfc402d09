"""Ingest: the gateway brings readings from HTTP to the topic, the recorder from there to the store.

Two processes: a slow database must not slow down the machines that send.
"""
