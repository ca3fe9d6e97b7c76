"""What carries the decisions out: one reconciler for each model, its effects, and the ports that it needs."""
