"""The gateway: rate limit, validation, response cache, coalescing, shedding, routing and circuit breakers."""
