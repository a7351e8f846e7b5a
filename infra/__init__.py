"""The outside world: configuration, storage, weights, logs. Knows neither torch nor Ray."""
