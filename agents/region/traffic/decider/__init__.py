"""What a region does about the traffic of one model's rollout: ``step(traffic, event, now)``, pure."""
