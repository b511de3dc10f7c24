"""How good partners are: factors, weights, scores, tiers."""
