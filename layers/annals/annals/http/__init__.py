"""HTTP: what every function that answers API Gateway shares."""
