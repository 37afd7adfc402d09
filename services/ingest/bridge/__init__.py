"""The MQTT bridge: messages of an MQTT broker in, readings on the topic out."""
