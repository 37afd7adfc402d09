"""The predictor: judges readings as they stream, and answers what it knows of the fleet."""
