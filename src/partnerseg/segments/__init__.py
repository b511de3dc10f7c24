"""Who our partners are: criteria and natural segments."""
